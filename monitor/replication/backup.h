// Backup: the machine that plays the inputs of a primary's guest, a little behind it. When the
// primary has gone, it plays up to the position that the outside has last heard of, and goes on
// from there by itself. Owns: the link, the entries that have come, the output that the primary may
// not have sent. See docs/replication.md.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replication/primary.h"
#include "monitor/replication/replica.h"
#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"

namespace ringshift {

class Backup final : public Replica {
 public:
  struct Plan {
    bool joins = false;  // its primary runs already: join()
    // The place where the machine looks for a backup of its own when it has taken over; nothing:
    // nowhere.
    std::optional<JoinPlace> next;
  };
  // Throws std::system_error when the host refuses a thread.
  Backup(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout,
         Plan plan);
  Backup(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout)
      : Backup(std::move(connection), std::move(tie), timeout, Plan{}) {}
  ~Backup() override;
  Backup(const Backup&) = delete;
  Backup& operator=(const Backup&) = delete;

  void note(const TapePosition& at, const HostInput& input) override {
    if (live_ != nullptr) live_->note(at, input);
  }
  [[nodiscard]] bool is_replay() const override { return !is_live(); }
  [[nodiscard]] std::optional<HostInput> next_at(const TapePosition& at) override;
  [[nodiscard]] std::optional<uint64_t> next_count() override;
  void mark(const TapePosition& at, const TapeMark& here) override;
  void end(const TapePosition& at, const TapeMark& here, EndedBy who) override;
  void give_up(const std::string& why) override;

  void passed(const TapePosition& at) override {
    if (live_ != nullptr) live_->passed(at);
  }
  void service() override;
  [[nodiscard]] bool wants_look() override { return live_ != nullptr && live_->wants_look(); }
  [[nodiscard]] bool is_full() override { return live_ != nullptr && live_->is_full(); }
  [[nodiscard]] Turn turn(const TapePosition& at, bool after_timers) override;

  [[nodiscard]] bool is_to_join() const override { return plan_.joins && !has_joined_; }
  [[nodiscard]] bool join(JoinedMachine& machine, std::string* error) override;
  [[nodiscard]] bool needs_grains() const override {
    return live_ != nullptr && live_->needs_grains();
  }

  // The user has ended the primary, and so this machine, too.
  [[nodiscard]] bool was_ended() const { return was_ended_; }
  [[nodiscard]] bool is_live() const { return live_ != nullptr; }

 private:
  enum class Phase : uint8_t {
    Following,
    Taking,   // the primary has gone, and this is the machine that goes on
    Lost,     // and it is not
    Damaged,  // the data received are no log, and the primary may live
  };
  struct Log {
    uint64_t number;
    TapePosition reached;
  };
  void follow();
  void differ(const TapePosition& at, const char* what);
  void compare(const TapePosition& at, const TapeMark& here, TapeEntry::Kind kind);
  [[nodiscard]] Turn go_live(const TapePosition& at);
  void note_played(const TapePosition& at);
  // The link's thread.
  [[nodiscard]] bool take(const MigrationMessage& message, std::string* problem);
  [[nodiscard]] bool take_log(std::span<const uint8_t> bytes, std::string* problem);
  void say_heard();
  void lose(const std::string& why);
  void let_go_of_ram() override {
    if (live_ != nullptr) live_->let_go_of_ram();
  }

  Plan plan_;
  uint32_t timeout_;
  ReplicaConnection connection_;  // until there is a link
  bool has_joined_ = false;
  bool was_ended_ = false;

  bool is_damaged_ = false;  // the link's thread's
  Nanoseconds said_at_ = 0;  // the same; of the host's clock
  // Guarded by mutex_:
  Phase phase_ = Phase::Following;
  std::deque<TapeEntry> entries_;
  std::deque<Log> logs_;  // that have not been played
  TapePosition reached_;  // by the primary's guest, if anything has been heard
  size_t waiting_bytes_ = 0;
  ReplicaHeard heard_;
  HeldOutput::Totals left_{};  // shown to the outside by the primary
  // The primary shows nothing that this machine could not come to: it may take over.
  bool is_held_ = true;
  std::unique_ptr<ReplicaLink> link_;  // null: the machine is still to be brought
  std::unique_ptr<Primary> live_;      // the primary that it has become; null: it follows
};

}  // namespace ringshift

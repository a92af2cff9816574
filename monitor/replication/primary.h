// Primary: the machine that the outside talks to, while a backup follows it: its guest's inputs are
// logged, and its guest's output leaves when the backup has the log with its cause. Without the
// backup it goes on, if the tie-breaker lets it, and can be given another one while it runs. Owns:
// the link, the log that waits, the output that is held. See docs/replication.md.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replication/outgoing_join.h"
#include "monitor/replication/replica.h"
#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"

namespace ringshift {

class Primary final : public Replica {
 public:
  // A backup is there, and begins with this machine. next: where another one is looked for when it
  // has gone; nothing: nowhere. Throws std::system_error when the host refuses a thread.
  Primary(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout,
          std::optional<JoinPlace> next = {});
  // For a machine that has no backup yet.
  Primary(std::unique_ptr<TieBreaker> tie, JoinPlace next);
  // For a backup that has taken over. Its guest has come so far, and the guest's output leaves.
  Primary(std::shared_ptr<Lasting> lasting, std::optional<JoinPlace> next);
  ~Primary() override;
  Primary(const Primary&) = delete;
  Primary& operator=(const Primary&) = delete;

  void note(const TapePosition& at, const HostInput& input) override;
  [[nodiscard]] bool is_replay() const override { return false; }
  [[nodiscard]] std::optional<HostInput> next_at(const TapePosition& /*at*/) override {
    return std::nullopt;
  }
  [[nodiscard]] std::optional<uint64_t> next_count() override { return std::nullopt; }
  void mark(const TapePosition& at, const TapeMark& here) override;
  void end(const TapePosition& at, const TapeMark& here, EndedBy who) override;
  void give_up(const std::string& why) override;

  void passed(const TapePosition& at) override;
  void service() override;
  [[nodiscard]] bool wants_look() override;
  [[nodiscard]] bool is_full() override;
  [[nodiscard]] Turn turn(const TapePosition& /*at*/, bool /*after_timers*/) override {
    return Turn::GoOn;
  }
  [[nodiscard]] bool needs_grains() const override {
    return join_.has_value() && join_->needs_grains();
  }

 private:
  friend class Backup;  // let_go_of_ram
  enum class Phase : uint8_t {
    Alone,       // there is no backup, and this is the machine that goes on
    Joining,     // the machine is sent to a backup; inputs since then are kept
    CatchingUp,  // it has the machine, and plays the inputs since then
    Paired,
    Lost,  // the backup has gone, and this is not the machine that goes on
  };
  // A log that has been sent, or is to be, until the guest of the backup has come to its end.
  struct Sent {
    uint64_t number;
    Nanoseconds at;  // of the host's clock
    size_t bytes;
    HeldOutput::Totals come;  // sent by the guest by then
    bool is_heard = false;
  };
  [[nodiscard]] bool is_logged() const { return known_ != Phase::Alone && known_ != Phase::Lost; }
  void add(const TapeEntry& entry);
  void send_log(const TapePosition& at);
  void tell_shown();
  void say_protected(uint64_t heard);
  void note_lost(Phase phase, const std::string& why);
  void wait_until_shown();
  void let_go_of_ram() override;
  [[nodiscard]] std::unique_ptr<ReplicaLink> link_over(ReplicaConnection connection,
                                                       uint32_t timeout);
  // primary_join.cpp
  void prepare_join(std::optional<JoinPlace> next);
  void look_for_backup(bool waits_first);
  void follow_join();
  void begin_log();
  void forget_kept();
  void forget_joining();
  void catch_up();
  void fail_join(const std::string& why);
  [[nodiscard]] bool is_near();
  void protect();
  void slow_down(Nanoseconds now);
  [[nodiscard]] bool stands_still(Nanoseconds now) const;
  // The link's thread.
  [[nodiscard]] bool take(const MigrationMessage& message, std::string* problem);
  [[nodiscard]] bool tick(std::string* problem);
  void lose(const std::string& why);

  std::vector<uint8_t> plain_;   // entries of the next log
  Nanoseconds logged_at_ = 0;    // the last log, of the host's clock
  HeldOutput::Totals logged_{};  // sent by the guest where that log ends
  TapePosition reached_;         // that place
  bool has_reached_ = false;     // there is one
  Phase known_ = Phase::Paired;  // to the vCPU's thread

  std::optional<OutgoingJoin> join_;  // nothing: no backup is looked for
  std::string where_;                 // it is
  bool has_looked_ = false;
  bool cannot_repeat_ = false;              // a host's disk has failed
  std::vector<std::vector<uint8_t>> kept_;  // logs, until there is a link
  size_t kept_bytes_ = 0;
  HeldOutput::Totals before_{};  // sent by the guest by the moment that was brought
  uint64_t protected_by_ = 0;    // the log that says so; 0: that has been said, or is not to be
  Nanoseconds pause_ = 0;

  Nanoseconds beat_at_ = 0;  // the link's thread's; of the host's clock
  // Guarded by mutex_:
  Phase phase_ = Phase::Paired;
  std::deque<Sent> sent_;
  uint64_t number_ = 0;  // logs that have been sent
  ReplicaHeard heard_;
  HeldOutput::Totals may_leave_{};  // sent by the guest by the last log that was heard
  HeldOutput::Totals told_{};       // shown to the outside, as the backup is told
  size_t waiting_bytes_ = 0;        // of logs that have not been played
  bool is_look_due_ = false;
  bool wants_log_ = false;             // when the last one has been heard
  bool is_slowed_ = false;             // the backup is to come nearer
  Nanoseconds catching_since_ = 0;     // of the host's clock
  Nanoseconds came_on_at_ = 0;         // the backup's guest
  std::unique_ptr<ReplicaLink> link_;  // null: Alone or Joining
};

}  // namespace ringshift

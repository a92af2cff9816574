// Backup: the machine that plays what a primary's guest is given, a little behind it, and is there
// when the primary has gone: then it has come to where the outside has last heard of the guest, and
// goes on from there by itself. Owns: the link, the entries that have come, the output that the
// primary may not have sent. See docs/replication.md.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replication/replica.h"
#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"

namespace ringshift {

class Backup final : public Replica {
 public:
  // Throws std::system_error when the host refuses a thread.
  Backup(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout);
  ~Backup() override;
  Backup(const Backup&) = delete;
  Backup& operator=(const Backup&) = delete;

  void note(const TapePosition& /*at*/, const HostInput& /*input*/) override {}
  [[nodiscard]] bool is_replay() const override { return !is_live_; }
  [[nodiscard]] std::optional<HostInput> next_at(const TapePosition& at) override;
  [[nodiscard]] std::optional<uint64_t> next_count() override;
  void mark(const TapePosition& at, const TapeMark& here) override;
  void end(const TapePosition& at, const TapeMark& here, EndedBy who) override;
  void give_up(const std::string& why) override;

  void passed(const TapePosition& /*at*/) override {}
  void service() override;
  [[nodiscard]] bool wants_look() override { return false; }
  [[nodiscard]] bool is_full() override { return false; }
  [[nodiscard]] Turn turn(const TapePosition& at, bool after_timers) override;

  // The primary has been ended by whoever runs it, and so has this.
  [[nodiscard]] bool was_ended() const { return was_ended_; }
  [[nodiscard]] bool is_live() const { return is_live_; }

 private:
  enum class Phase : uint8_t {
    Following,
    Taking,   // the primary has gone, and this is the machine that goes on
    Lost,     // and it is not
    Damaged,  // what came is no log, and the primary may live
  };
  struct Log {
    uint64_t number;
    TapePosition reached;
  };
  void differ(const TapePosition& at, const char* what);
  void compare(const TapePosition& at, const TapeMark& here, TapeEntry::Kind kind);
  [[nodiscard]] Turn go_live(const TapePosition& at);
  void note_played(const TapePosition& at);
  // The link's thread.
  [[nodiscard]] bool take(const MigrationMessage& message, std::string* problem);
  [[nodiscard]] bool take_log(std::span<const uint8_t> bytes, std::string* problem);
  void say_heard();
  void lose(const std::string& why);

  bool is_live_ = false;
  bool was_ended_ = false;
  std::array<uint64_t, 256> taken_{};  // bytes of console input, by source

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
  std::unique_ptr<ReplicaLink> link_;
};

}  // namespace ringshift

// Primary: the machine that the outside talks to, while a backup follows it: what its guest is
// given is logged, and what its guest sends leaves when the backup has the log of what caused it.
// Without the backup it goes on, if the tie-breaker lets it. Owns: the link, the log that waits,
// the output that is held. See docs/replication.md.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replication/replica.h"
#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"

namespace ringshift {

class Primary final : public Replica {
 public:
  // Throws std::system_error when the host refuses a thread.
  Primary(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout);
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

 private:
  enum class Phase : uint8_t {
    Paired,
    Alone,  // the backup has gone, and this is the machine that goes on
    Lost,   // and it is not
  };
  // A log that has been sent, until the guest of the backup has come to its end.
  struct Sent {
    uint64_t number;
    Nanoseconds at;  // of the host's clock
    size_t bytes;
    HeldOutput::Totals come;  // what the guest had sent by then
    bool is_heard = false;
  };
  void add(const TapeEntry& entry);
  void send_log(const TapePosition& at);
  void tell_shown();
  void wait_until_shown();
  // The link's thread.
  [[nodiscard]] bool take(const MigrationMessage& message, std::string* problem);
  [[nodiscard]] bool tick(std::string* problem);
  void lose(const std::string& why);

  std::vector<uint8_t> plain_;   // entries of the next log
  Nanoseconds logged_at_ = 0;    // the last log, of the host's clock
  HeldOutput::Totals logged_{};  // what the guest had sent where that log ends
  TapePosition reached_;         // that place
  bool has_reached_ = false;     // there is one
  Phase known_ = Phase::Paired;  // to the vCPU's thread

  Nanoseconds beat_at_ = 0;  // the link's thread's; of the host's clock
  // Guarded by mutex_:
  Phase phase_ = Phase::Paired;
  std::deque<Sent> sent_;
  uint64_t number_ = 0;  // logs that have been sent
  ReplicaHeard heard_;
  HeldOutput::Totals may_leave_{};  // what the guest had sent by the last log that was heard
  HeldOutput::Totals told_{};       // what has been shown, as the backup is told
  size_t waiting_bytes_ = 0;        // of logs that have not been played
  bool is_look_due_ = false;
  bool wants_log_ = false;  // when the last one has been heard
  std::unique_ptr<ReplicaLink> link_;
};

}  // namespace ringshift

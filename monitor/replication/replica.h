// Replica: one of two machines that are the same: the primary, which the outside talks to and whose
// inputs go to the other one as they come, or the backup, which plays them and takes over when the
// primary has gone. To the machine it is a tape. vCPU thread only. See docs/replication.md.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "monitor/replay/input_tape.h"
#include "monitor/replication/held_output.h"
#include "monitor/replication/tie_breaker.h"

namespace ringshift {

class Replica : public InputTape {
 public:
  // Around one life of the guest.
  struct Attached {
    std::function<void()> wake;  // any thread: the vCPU is to come to its safe point
    std::function<void()> look;  // the guest is to come to an event soon (passed())
  };
  void attach(Attached machine) {
    const std::lock_guard lock(mutex_);
    machine_ = std::move(machine);
  }
  void detach() { attach({}); }

  // What the guest prints goes through this.
  [[nodiscard]] HeldOutput& output() { return output_; }

  // ---- InputTape, as both machines have it ----
  void begin_life() final { ++life_; }
  [[nodiscard]] uint32_t life() const final { return life_ - 1; }
  [[nodiscard]] bool hashes_memory() const final { return false; }
  [[nodiscard]] bool wants_stop(const TapePosition& /*at*/) final { return false; }
  [[nodiscard]] const std::string& problem() const final { return problem_; }

  // The guest has come to `at`, and its timers have been looked at: no input is given to it here
  // any more.
  virtual void passed(const TapePosition& at) = 0;
  // At a safe point: what may leave leaves.
  virtual void service() = 0;
  // The guest should come to an event soon, to say how far it is.
  [[nodiscard]] virtual bool wants_look() = 0;
  // Too much waits for the other side: the guest should stand still until it is woken.
  [[nodiscard]] virtual bool is_full() = 0;

  enum class Turn : uint8_t {
    GoOn,
    Wait,    // what the primary's guest has been given here is not known
    GoLive,  // the primary has gone: from here on the outside is this machine's
    End,     // the primary has been ended, or the two machines are not the same any more
  };
  // A backup's, at an event, before its timers are looked at and after it.
  [[nodiscard]] virtual Turn turn(const TapePosition& at, bool after_timers) = 0;

 protected:
  explicit Replica(std::unique_ptr<TieBreaker> tie) : tie_(std::move(tie)) {}

  HeldOutput output_;
  std::string problem_;              // why the machine has to end
  std::unique_ptr<TieBreaker> tie_;  // the link's thread's
  std::mutex mutex_;                 // guards what follows, and what the two have besides
  std::condition_variable news_;
  Attached machine_;
  std::string why_;  // the other side has gone

 private:
  uint32_t life_ = 0;  // lives that have begun
};

}  // namespace ringshift

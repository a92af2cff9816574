// Replica: one of two machines that are the same. The primary is the one that the outside talks to,
// and sends its inputs to the other one as they come. The backup plays them and takes over when the
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
#include "monitor/replication/joined_machine.h"
#include "monitor/replication/replica_messages.h"
#include "monitor/replication/tie_breaker.h"

namespace ringshift {

class Replica : public InputTape {
 public:
  // Callbacks for one life of the guest.
  struct Attached {
    std::function<void()> wake;        // any thread: the vCPU is to come to its safe point
    std::function<void()> look;        // the guest is to come to an event soon (passed())
    JoinedMachine* machine = nullptr;  // the vCPU's thread; null: nobody can be brought this one
  };
  void attach(Attached machine) {
    const std::lock_guard lock(mutex_);
    machine_ = std::move(machine);
  }
  void detach() {
    let_go_of_ram();
    attach({});
  }

  // The guest's output passes through this.
  [[nodiscard]] HeldOutput& output() { return output_; }

  // ---- InputTape, as both machines have it ----
  void begin_life() final { ++lasting_->lives; }
  [[nodiscard]] uint32_t life() const final { return lasting_->lives - 1; }
  [[nodiscard]] bool hashes_memory() const final { return false; }
  [[nodiscard]] bool wants_stop(const TapePosition& /*at*/) final { return false; }
  [[nodiscard]] const std::string& problem() const final { return problem_; }

  // The guest has come to `at`, and its timers have been looked at: no input is given to it here
  // any more.
  virtual void passed(const TapePosition& at) = 0;
  // At a safe point: output that may leave leaves.
  virtual void service() = 0;
  // The guest should come to an event soon, to say how far it is.
  [[nodiscard]] virtual bool wants_look() = 0;
  // Too much waits for the other side: the guest should stand still until it is woken.
  [[nodiscard]] virtual bool is_full() = 0;

  enum class Turn : uint8_t {
    GoOn,
    Wait,    // the input that the primary's guest was given here is not known
    GoLive,  // the primary has gone: from here on the outside is this machine's
    End,     // the primary has been ended, or the two machines are not the same any more
  };
  // A backup's, at an event, before its timers are looked at and after it.
  [[nodiscard]] virtual Turn turn(const TapePosition& at, bool after_timers) = 0;

  // A backup's whose primary runs already: nothing is to be booted, join() brings the machine.
  [[nodiscard]] virtual bool is_to_join() const { return false; }
  // Waits for it. False with one line in *error.
  [[nodiscard]] virtual bool join(JoinedMachine& /*machine*/, std::string* /*error*/) {
    return true;
  }
  // RAM is being copied for a backup: it is to stay in whole grains.
  [[nodiscard]] virtual bool needs_grains() const { return false; }

 protected:
  // The state that stays when a backup becomes a primary.
  struct Lasting {
    HeldOutput output;
    std::string problem;              // why the machine has to end
    std::unique_ptr<TieBreaker> tie;  // the link's thread's; without a link, the joiner's
    uint32_t lives = 0;               // that have begun
    ReplicaJoin::Taken taken{};       // bytes that the guest has been given, by their source
    std::mutex mutex;
    std::condition_variable news;
    Attached machine;
  };
  explicit Replica(std::shared_ptr<Lasting> lasting)
      : lasting_(std::move(lasting)),
        output_(lasting_->output),
        problem_(lasting_->problem),
        mutex_(lasting_->mutex),
        news_(lasting_->news),
        machine_(lasting_->machine) {}
  [[nodiscard]] static std::shared_ptr<Lasting> lasting_with(std::unique_ptr<TieBreaker> tie) {
    auto lasting = std::make_shared<Lasting>();
    lasting->tie = std::move(tie);
    return lasting;
  }
  // The guest has been given that.
  void count_taken(const HostInput& input) {
    const bool is_counted =
        input.kind == HostInput::Kind::ConsoleBytes && input.source < ReplicaJoin::kSources;
    if (is_counted) lasting_->taken.at(input.source) += input.bytes.size();
  }
  [[nodiscard]] TieBreaker& tie() { return *lasting_->tie; }

  std::shared_ptr<Lasting> lasting_;
  HeldOutput& output_;
  std::string& problem_;
  std::mutex& mutex_;  // guards the members that follow, and those of the two subclasses
  std::condition_variable& news_;
  Attached& machine_;
  std::string why_;  // the other side has gone

 private:
  // The machine goes: nobody is brought it any more.
  virtual void let_go_of_ram() {}
};

}  // namespace ringshift

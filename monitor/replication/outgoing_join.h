// OutgoingJoin: a machine that runs and is brought to a backup, as the vCPU's thread sees it. RAM
// is made read-only step by step; the guest stands for one moment, in which its state is taken; RAM
// of that moment is copied beside the running guest, and sent. From that moment on the caller keeps
// the log. Owns: the copy, the thread that looks for a backup and sends. A step at a safe point is
// bounded. See docs/decisions/0038-a-backup-joins-by-a-clone.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/migration/frozen_copy.h"
#include "monitor/replication/joined_machine.h"
#include "monitor/replication/joiner.h"

namespace ringshift {

class OutgoingJoin {
 public:
  struct Setup {
    JoinPlace place;
    std::function<bool(const TieBreaker::Pair&, std::string*)> renew;  // Joiner::Setup::renew
    // Fills in the amounts that the outside and the guest have given each other by this moment.
    std::function<void(ReplicaJoin*)> describe;
    std::function<void()> wake;  // any thread: service() is to be called
  };
  explicit OutgoingJoin(Setup setup) : setup_(std::move(setup)) {}
  OutgoingJoin(const OutgoingJoin&) = delete;
  OutgoingJoin& operator=(const OutgoingJoin&) = delete;

  // Looks for a backup from now on, or after a while. Throws as Joiner.
  void begin(bool waits_first);
  enum class News : uint8_t {
    None,
    Moment,  // this is the moment: the log begins here
    Joined,  // take() has the connection to a machine as this one was then
    Failed,  // problem(): nobody is looked for until begin()
  };
  // At safe points.
  [[nodiscard]] News service(JoinedMachine& machine);
  // Stops a join, whatever it does with RAM at the moment: Failed, if it had found a backup.
  [[nodiscard]] News give_up(const std::string& why);
  [[nodiscard]] ReplicaConnection take();
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] bool is_looking() const { return joiner_ != nullptr; }
  [[nodiscard]] bool needs_grains() const {
    return step_ == Step::Freezing || step_ == Step::Copying;
  }
  [[nodiscard]] uint32_t timeout() const { return setup_.place.timeout; }
  // The time that the guest stood still at the last moment, in nanoseconds of the host's.
  [[nodiscard]] Nanoseconds pause() const { return pause_; }

 private:
  enum class Step : uint8_t { Looking, Freezing, Copying, Sending };
  [[nodiscard]] News take_moment(JoinedMachine& machine);
  [[nodiscard]] News fail(const std::string& problem);
  void give();

  Setup setup_;
  Step step_ = Step::Looking;
  std::unique_ptr<Joiner> joiner_;  // null: nobody is looked for
  std::optional<GrainFreezer> freezer_;
  std::unique_ptr<FrozenCopy> copy_;
  Joiner::Machine moment_;
  Nanoseconds pause_ = 0;
  std::string problem_;
};

}  // namespace ringshift

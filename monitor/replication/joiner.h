// Joiner: looks for a backup for a machine that runs without one, and brings it the machine, on a
// thread of its own. It tries again and again to reach one, greets it, waits for the state and RAM
// of one moment, and sends them. It never waits for the vCPU's thread but for these. Owns: the
// thread, the connection until it is taken, RAM of that moment. See docs/replication.md, "A backup
// that joins".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"
#include "monitor/replication/tie_breaker.h"
#include "shadowmmu/base/host_thread.h"
#include "shadowmmu/machine_pages.h"

namespace ringshift {

// The place where a machine that has no backup looks for one.
struct JoinPlace {
  std::string where;         // --replicate-to
  std::string key;           // --migration-key, the secret itself; empty: none
  uint32_t again = 1;        // seconds between two tries
  uint32_t timeout = 0;      // milliseconds; of the pair, from then on
  std::vector<uint8_t> run;  // ReplicaBegin::run
};

// Connects, and greets: false with one line in *problem. is_gone, if not null: nobody is there.
[[nodiscard]] bool reach_backup(const JoinPlace& place, const std::function<bool()>& is_wanted,
                                ReplicaConnection* connection, bool* is_gone, std::string* problem);
// Describes the run, and waits until the other side is ready for it. As above.
[[nodiscard]] bool introduce(const JoinPlace& place, const TieBreaker::Pair& pair, bool joins,
                             ReplicaConnection& connection, std::string* problem);

class Joiner {
 public:
  enum class Phase : uint8_t {
    Looking,
    Found,    // somebody is ready, and waits for give()
    Sending,  // what was given
    Joined,   // the other side has the machine, as it was at that moment
    Failed,   // after Found: problem()
  };
  struct Setup {
    JoinPlace place;
    bool waits_first = false;  // before the first try, as between two
    // A pair of its own for each backup. On the thread; false with one line.
    std::function<bool(const TieBreaker::Pair&, std::string*)> renew;
    std::function<void()> on_news;  // on the thread: the phase is another
  };
  struct Machine {
    ReplicaJoin join;
    std::vector<uint8_t> state;
    RamBase ram;
  };
  // Throws as HostThread::start.
  explicit Joiner(Setup setup);
  // Wherever it is, it ends at once.
  ~Joiner();
  Joiner(const Joiner&) = delete;
  Joiner& operator=(const Joiner&) = delete;

  [[nodiscard]] Phase phase() const;
  [[nodiscard]] std::string problem() const;
  // Pre: Phase::Found. The memfd is the joiner's.
  void give(Machine machine);
  // Pre: Phase::Joined. Once.
  [[nodiscard]] ReplicaConnection take();

 private:
  void work();
  [[nodiscard]] bool wait_for(int milliseconds);
  [[nodiscard]] bool look(std::string* problem);
  [[nodiscard]] bool wait_for_machine();
  [[nodiscard]] bool send_machine(std::string* problem);
  [[nodiscard]] bool send_ram(std::string* problem);
  void note(Phase phase, const std::string& problem = {});

  Setup setup_;
  ReplicaConnection connection_;  // the thread's, until Joined
  std::string said_;              // the last line about a try
  mutable std::mutex mutex_;      // guards the members that follow
  Phase phase_ = Phase::Looking;
  std::string problem_;
  bool has_machine_ = false;
  Machine machine_;  // the thread's once it is there
  HostThread thread_;
};

}  // namespace ringshift

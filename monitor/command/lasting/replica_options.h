// Replica options: --replicate-to and --tie-breaker of `run`, and the command `backup`, whose run
// is that of the primary that comes to it. Owns (RunReplica): this side of the pair while a machine
// runs. See docs/replication.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "monitor/replication/replica_link.h"
#include "monitor/replication/tie_breaker.h"

namespace ringshift {

class Backup;
class Primary;
struct ReplayRequest;
struct RunOptions;

// A primary that has come, and waits for its backup to be ready.
struct ArrivedPrimary {
  ReplicaConnection connection;
  uint32_t timeout = 0;
  bool joins = false;  // its machine runs already
  TieBreaker::Pair pair{};
};

struct ReplicaOptions {
  std::string to;           // as typed; empty: this is no primary
  std::string tie_breaker;  // a file
  // finish_replica_options: `to`, taken apart.
  std::string where;
  uint32_t timeout = 1000;               // milliseconds
  uint32_t reconnect = 0;                // seconds between two looks for a backup; 0: none is made
  std::shared_ptr<ArrivedPrimary> from;  // null: this is no backup
  [[nodiscard]] bool is_pair() const { return !to.empty() || from != nullptr; }
};

// Takes {"backup", WHERE, WORD...}, waits there for a primary, and replaces the words by those of
// the primary's run with the given ones after them. False with one line in *problem.
[[nodiscard]] bool backed_up_words(std::vector<std::string>* words, ReplicaOptions* options,
                                   ReplayRequest* run, std::string* problem);

// After the migration's options, before --clock is looked at. False with one line in *problem.
[[nodiscard]] bool apply_replica(RunOptions* options, std::string* problem);

class RunReplica {
 public:
  RunReplica();
  ~RunReplica();
  RunReplica(const RunReplica&) = delete;
  RunReplica& operator=(const RunReplica&) = delete;
  // Before files are out of reach, when all else is open; a primary waits until its backup is
  // ready. False with one line in *error.
  [[nodiscard]] bool open(RunOptions* options, std::string* error);
  // After the run, which would end with `exit_code`: how it ends.
  [[nodiscard]] int finish(int exit_code);

 private:
  [[nodiscard]] bool open_primary(RunOptions* options, std::string* error);
  [[nodiscard]] bool open_backup(RunOptions* options, std::string* error);

  std::unique_ptr<Primary> primary_;  // null: it is none
  std::unique_ptr<Backup> backup_;    // null: it is none
};

}  // namespace ringshift

// IncomingJoin: the side of a backup that is brought a machine which runs elsewhere: its state at
// one moment, and RAM of that moment. The messages are hostile input: sizes are bounded, RAM is
// written only where a message whose hash is right says, and all of it is compared before the state
// is loaded. Does not own: the machine, the messages. See docs/replication.md, "A backup that
// joins".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/migration/arriving_grains.h"
#include "monitor/migration/migration_messages.h"
#include "monitor/replication/joined_machine.h"
#include "monitor/replication/replica_messages.h"

namespace ringshift {

class IncomingJoin {
 public:
  IncomingJoin(MigrationMessages& messages, JoinedMachine& machine)
      : messages_(messages), machine_(machine) {}
  IncomingJoin(const IncomingJoin&) = delete;
  IncomingJoin& operator=(const IncomingJoin&) = delete;

  // All of it, up to our word that it is there. False: problem() has one line.
  [[nodiscard]] bool receive();
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] const ReplicaJoin& join() const { return join_; }

 private:
  [[nodiscard]] bool take(const MigrationMessage& message);
  [[nodiscard]] bool take_end(const MigrationMessage& message);
  // The other side is told.
  bool refuse(std::string problem);

  MigrationMessages& messages_;
  JoinedMachine& machine_;
  ReplicaJoin join_;
  ArrivingGrains grains_;
  std::vector<uint8_t> state_;
  std::string problem_;
};

}  // namespace ringshift

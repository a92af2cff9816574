// RunSurroundings: the parts of a run beside its machine: made before it, given up after it. Owns:
// the process that answers for a daemon, the sandbox, the pid file, and the host's ends of the
// network, of a shared folder and of an incoming migration.
#pragma once

#include <memory>
#include <string>

#include "monitor/command/lasting/tape_options.h"
#include "monitor/command/options/options.h"
#include "monitor/command/options/port_options.h"
#include "monitor/command/pid_file.h"
#include "monitor/command/run_sandbox.h"
#include "monitor/host/children/daemon.h"
#include "monitor/migration/migration_listener.h"
#include "monitor/network/network_link.h"
#include "monitor/share/share_link.h"

namespace ringshift {

struct RunSurroundings {
  Daemon daemon;
  RunSandbox sandbox;
  PidFile pid_file;
  std::unique_ptr<NetworkLink> network;         // null: no network
  std::unique_ptr<MigrationListener> incoming;  // null: no machine is waited for
  std::unique_ptr<ShareLink> share;             // null: no folder is shared
  RunPorts ports;
  RunTape tape;
  RunReplica replica;

  // Opens all of it but the daemon, and tells the options' machine. False with one line in *error:
  // the host refuses something.
  [[nodiscard]] bool open(RunOptions* options, std::string* error);
};

}  // namespace ringshift

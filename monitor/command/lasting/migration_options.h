// MigrationOptions: --incoming, --migrate-to and --migration-key: the place that a machine comes
// from, and the places that it may be moved to. See docs/migration.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/machine/machine.h"

namespace CLI {
class App;
}

namespace ringshift {

struct MigrationOptions {
  std::string incoming;         // empty: the machine boots, or is resumed
  std::vector<std::string> to;  // as `migrate` names them
  std::string key_file;         // empty: none
};

void add_migration_options(CLI::App& command, MigrationOptions* options);
// Reads the key. False with one line in *problem for bad words.
[[nodiscard]] bool finish_migration_options(const MigrationOptions& options, MachineConfig* machine,
                                            std::string* problem);
// The name of the UNIX socket at which a machine is waited for; empty: there is none.
[[nodiscard]] std::string incoming_socket_path(const MigrationOptions& options);

}  // namespace ringshift

#include "monitor/command/lasting/migration_options.h"

#include <CLI/App.hpp>

#include "monitor/migration/greeting/migration_key.h"
#include "monitor/migration/migration_listener.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

constexpr size_t kMostPeers = 16;

}  // namespace

void add_migration_options(CLI::App& command, MigrationOptions* options) {
  command
      .add_option("--incoming", options->incoming,
                  "do not boot: wait there for a machine that is moved here from another\n"
                  "ringshift with the same options: unix:PATH, tcp:HOST:PORT, fd:N")
      ->type_name("WHERE")
      ->group("Migration");
  command
      .add_option("--migrate-to", options->to,
                  "where the command migrate may move the machine to; may be repeated")
      ->type_name("WHERE")
      ->allow_extra_args(false)
      ->group("Migration");
  command
      .add_option("--migration-key", options->key_file,
                  "a file with a secret that the other side must have, too; without it\n"
                  "machines are moved within this host only")
      ->type_name("FILE")
      ->group("Migration");
}

bool finish_migration_options(const MigrationOptions& options, MachineConfig* machine,
                              std::string* problem) {
  const bool has_key = !options.key_file.empty();
  if (has_key && !read_migration_key(options.key_file, &machine->migration.key, problem)) {
    return false;
  }
  if (options.to.size() > kMostPeers) {
    *problem = "--migrate-to: " + std::to_string(kMostPeers) + " are the most";
    return false;
  }
  for (const std::string& where : options.to) {
    if (!check_migration_address("--migrate-to", where, has_key, problem)) return false;
  }
  machine->migration.allowed = options.to;
  if (options.incoming.empty()) return true;
  if (!machine->resume_path.empty()) {
    *problem = "--incoming: a machine that is resumed does not come from somewhere else, too";
    return false;
  }
  return check_migration_address("--incoming", options.incoming, has_key, problem);
}

std::string incoming_socket_path(const MigrationOptions& options) {
  ConnectionName name;
  const bool is_unix =
      parse_connection(options.incoming.c_str(), &name) && name.kind == ConnectionName::Kind::Unix;
  return is_unix ? name.path.data() : "";
}

}  // namespace ringshift

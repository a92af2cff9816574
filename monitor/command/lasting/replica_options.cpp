#include "monitor/command/lasting/replica_options.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "devices/host/host_random.h"
#include "monitor/command/lasting/save_options.h"
#include "monitor/command/options/option_items.h"
#include "monitor/command/options/options.h"
#include "monitor/command/options/port_options.h"
#include "monitor/command/tape_disks.h"
#include "monitor/host/exit_codes.h"
#include "monitor/migration/greeting/greeting.h"
#include "monitor/migration/migration_listener.h"
#include "monitor/replication/backup.h"
#include "monitor/replication/primary.h"
#include "shadowmmu/base/host_connection.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr const char* kDiskFailure = "the host cannot read or write a disk's image";
// A stranger who says nothing keeps a primary waiting for that long.
constexpr int kGreeting = 2000;

ReplicaConnection connection_of(int socket) {
  ReplicaConnection connection;
  connection.stream = std::make_unique<SocketStream>(socket, [] { return true; });
  connection.messages = std::make_unique<MigrationMessages>(*connection.stream);
  return connection;
}

// An option that a pair cannot have; empty: none was given.
std::string obstacle(const RunOptions& options) {
  if (!options.record.empty()) return "--record";
  for (const PortTarget* port : all_ports(options.machine.ports)) {
    if (port->kind == PortTarget::Kind::File) {
      return "a port into a file, " + port->path + ", which both machines would write";
    }
  }
  if (options.machine.network.kind == NetworkRequest::Kind::User) {
    return "--net user: its connections would end with the process (--net stream)";
  }
  if (const std::string disk = written_disk(options.media); !disk.empty()) {
    return "a written disk, " + disk + ", which both machines would write (add ,snapshot=on)";
  }
  if (!options.share_request.folder.empty()) return "--share, which both machines would write";
  if (!options.machine.resume_path.empty() && options.replica.reconnect == 0) {
    return "a machine that is resumed (add ,reconnect=SECONDS)";
  }
  return unrecorded(options);
}

bool refuse(ReplicaConnection& connection, const std::string& problem) {
  const auto* text = reinterpret_cast<const uint8_t*>(problem.data());
  (void)connection.messages->send(MessageKind::Refuse, {text, problem.size()});
  return false;
}

// The value of an option among a command's own words; empty: it is not there.
std::string value_of(const std::vector<std::string>& words, const std::string& name) {
  for (size_t i = 2; i < words.size(); ++i) {
    if (words[i] == name && i + 1 < words.size()) return words[i + 1];
    if (words[i].starts_with(name + "=")) return words[i].substr(name.size() + 1);
  }
  return "";
}

// -1 with one line in *problem.
int listen_at(const std::string& where, std::string* problem) {
  ConnectionName name;
  if (!parse_connection(where.c_str(), &name)) {
    *problem = "backup: cannot use '" + where + "'";
    return -1;
  }
  if (name.kind == ConnectionName::Kind::Unix) remove_deserted_socket(name.path.data());
  const int listening = listen_for_connection(name, &name.port);
  if (listening < 0) {
    *problem = "backup: cannot listen at " + where + ": " + std::strerror(errno);
  } else if (name.kind == ConnectionName::Kind::Tcp) {
    std::fprintf(stderr, "ringshift: backup: listens at port %u\n", unsigned{name.port});
  }
  return listening;
}

// Strangers are turned away, one after the other.
ReplicaConnection wait_for_primary(int listening, const std::string& key) {
  while (true) {
    pollfd one{listening, POLLIN, 0};
    (void)poll(&one, 1, -1);
    const int socket = accept_connection(listening);
    if (socket < 0) continue;
    ReplicaConnection connection = connection_of(socket);
    connection.stream->set_patience(kGreeting);
    MigrationNonce nonce{};
    HostRandom().fill(nonce);
    std::string problem;
    if (answer_greeting(*connection.messages, key, nonce, &problem)) return connection;
    std::fprintf(stderr, "ringshift: backup: somebody was turned away: %s\n", problem.c_str());
  }
}

}  // namespace

bool backed_up_words(std::vector<std::string>* words, ReplicaOptions* options, ReplayRequest* run,
                     std::string* problem) {
  if (words->size() < 2 || (*words)[1].empty() || (*words)[1][0] == '-') {
    *problem =
        "backup: needs a place to wait for a primary at (ringshift backup unix:PATH|tcp:HOST:PORT "
        "[OPTION...])";
    return false;
  }
  const std::string where = (*words)[1];
  const std::string key_file = value_of(*words, "--migration-key");
  std::string key;
  if (!check_migration_address("backup", where, !key_file.empty(), problem)) return false;
  if (!key_file.empty() && !read_migration_key(key_file, &key, problem)) return false;
  const int listening = listen_at(where, problem);
  if (listening < 0) return false;
  auto from = std::make_shared<ArrivedPrimary>();
  from->connection = wait_for_primary(listening, key);
  ::close(listening);
  if (where.starts_with("unix:")) remove_host_file(where.substr(std::strlen("unix:")));
  MigrationMessage message;
  ReplicaBegin begin;
  if (!from->connection.messages->expect(MessageKind::Begin, &message)) {
    *problem = "backup: " + from->connection.messages->problem();
    return false;
  }
  std::vector<std::string> all;
  if (!read_begin(message.bytes, &begin, problem) ||
      !read_run_description(begin.run, &all, run, problem)) {
    refuse(from->connection, *problem);
    *problem = "backup: " + *problem;
    return false;
  }
  from->timeout = begin.timeout;
  from->joins = begin.joins;
  from->pair = begin.pair;
  options->from = std::move(from);
  all.insert(all.end(), words->begin() + 2, words->end());
  *words = std::move(all);
  return true;
}

namespace {

bool take_replica_item(const std::string& item, ReplicaOptions* replica) {
  constexpr std::string_view kTimeout = "timeout=", kReconnect = "reconnect=";
  constexpr uint32_t kLongest = 3600;
  if (item.starts_with(kTimeout)) {
    return parse_number(item.substr(kTimeout.size()), &replica->timeout) &&
           replica->timeout >= kLeastTimeout && replica->timeout <= kMostTimeout;
  }
  return item.starts_with(kReconnect) &&
         parse_number(item.substr(kReconnect.size()), &replica->reconnect) &&
         replica->reconnect >= 1 && replica->reconnect <= kLongest;
}

// A backup's own: where it looks for one when it has taken over.
bool parse_replicate_to(ReplicaOptions* replica, std::string* problem) {
  const std::vector<std::string> items = split_at_commas(replica->to);
  replica->where = items[0];
  if (replica->from != nullptr) replica->reconnect = 1;
  for (size_t i = 1; i < items.size(); ++i) {
    if (take_replica_item(items[i], replica)) continue;
    *problem =
        "--replicate-to: cannot use '" + items[i] + "' (timeout=100 to 60000, reconnect=1 to 3600)";
    return false;
  }
  return true;
}

}  // namespace

bool apply_replica(RunOptions* options, std::string* problem) {
  ReplicaOptions& replica = options->replica;
  if (!replica.is_pair()) return true;
  const std::string name = replica.from != nullptr ? "backup" : "--replicate-to";
  if (!replica.to.empty() && !parse_replicate_to(&replica, problem)) return false;
  if (replica.tie_breaker.empty()) {
    *problem = name + " needs --tie-breaker FILE, which both machines can reach";
    return false;
  }
  if (!replica.to.empty() &&
      !check_migration_address("--replicate-to", replica.where,
                               !options->machine.migration.key.empty(), problem)) {
    return false;
  }
  const bool has_other_clock = began_by_host_clock(*options);
  if (options->clock.empty() || options->clock == "host") options->clock = "events,idle=wait";
  const std::string what =
      has_other_clock ? "a machine that was saved by the host's clock" : obstacle(*options);
  if (what.empty()) return true;
  *problem = name + " cannot be used with " + what;
  return false;
}

// ---- the run ----

RunReplica::RunReplica() = default;
RunReplica::~RunReplica() = default;

bool RunReplica::open(RunOptions* options, std::string* error) {
  if (!options->replica.is_pair()) return true;
  try {
    const bool is_backup = options->replica.from != nullptr;
    return is_backup ? open_backup(options, error) : open_primary(options, error);
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses a thread: ") + refused.what();
    return false;
  }
}

namespace {

// The place where the machine, once it runs, looks for a backup when it has none; nothing: nowhere.
std::optional<JoinPlace> next_place(const RunOptions& options) {
  const ReplicaOptions& replica = options.replica;
  if (replica.to.empty()) return std::nullopt;
  const std::string run = run_description(options, words_for_clone(options.machine.save.words), {});
  return JoinPlace{.where = replica.where,
                   .key = options.machine.migration.key,
                   .again = replica.reconnect,
                   .timeout = replica.timeout,
                   .run = {run.begin(), run.end()}};
}

}  // namespace

bool RunReplica::open_primary(RunOptions* options, std::string* error) {
  const ReplicaOptions& replica = options->replica;
  const JoinPlace place = *next_place(*options);
  TieBreaker::Pair pair{};
  HostRandom().fill(pair);
  std::unique_ptr<TieBreaker> tie =
      TieBreaker::open(replica.tie_breaker, TieBreaker::Side::Primary, pair, error);
  if (tie == nullptr) return false;
  ReplicaConnection connection;
  std::string problem;
  const bool looks = replica.reconnect != 0;
  bool is_alone = !options->machine.resume_path.empty();  // no other machine has its first state
  if (!is_alone &&
      (!reach_backup(
           place, [] { return true; }, &connection, &is_alone, &problem) ||
       !introduce(place, pair, false, connection, &problem)) &&
      !(is_alone && looks)) {
    *error = "--replicate-to: " + replica.where + ": " + problem;
    return false;
  }
  if (is_alone) {
    primary_ = std::make_unique<Primary>(std::move(tie), place);
  } else {
    primary_ = std::make_unique<Primary>(std::move(connection), std::move(tie), replica.timeout,
                                         looks ? std::optional(place) : std::nullopt);
  }
  options->machine.tape = options->machine.replica = primary_.get();
  make_exact(&options->machine.media, [this] { primary_->give_up(kDiskFailure); });
  return true;
}

bool RunReplica::open_backup(RunOptions* options, std::string* error) {
  ArrivedPrimary& from = *options->replica.from;
  std::unique_ptr<TieBreaker> tie =
      TieBreaker::open(options->replica.tie_breaker, TieBreaker::Side::Backup, from.pair, error);
  if (tie == nullptr) return refuse(from.connection, *error);
  options->machine.event_clock.epoch_seconds = options->replay.epoch_seconds;
  Backup::Plan plan{.joins = from.joins, .next = next_place(*options)};
  if (!from.connection.messages->send(MessageKind::Ready)) {
    *error = "backup: " + from.connection.messages->problem();
    return false;
  }
  backup_ = std::make_unique<Backup>(std::move(from.connection), std::move(tie), from.timeout,
                                     std::move(plan));
  options->machine.tape = options->machine.replica = backup_.get();
  make_exact(&options->machine.media, [this] { backup_->give_up(kDiskFailure); });
  if (!from.joins) std::fprintf(stderr, "ringshift: backup: follows a primary\n");
  return true;
}

int RunReplica::finish(int exit_code) {
  if (backup_ == nullptr || backup_->is_live()) return exit_code;
  if (backup_->is_to_join()) return exit_code == kExitUsage ? kExitDiverged : exit_code;
  if (backup_->was_ended()) {
    std::fprintf(stderr, "ringshift: the primary has been ended, and so has its backup\n");
    return kExitPowerOff;
  }
  if (backup_->problem().empty()) return exit_code;
  std::fprintf(stderr, "ringshift: %s\n", backup_->problem().c_str());
  return kExitDiverged;
}

}  // namespace ringshift

#include "monitor/migration/migration_listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "monitor/host/host_signals.h"
#include "shadowmmu/base/host_connection.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// The number of "fd:N", above the standard streams; -1: it is none.
int inherited_descriptor(const std::string& where) {
  constexpr std::string_view kPrefix = "fd:";
  if (!where.starts_with(kPrefix)) return -1;
  int number = -1;
  const char* const end = where.data() + where.size();
  const auto result = std::from_chars(where.data() + kPrefix.size(), end, number);
  return result.ec == std::errc() && result.ptr == end && number > STDERR_FILENO ? number : -1;
}

bool is_socket(int descriptor) {
  struct stat status {};
  return describe_descriptor(descriptor, &status) && S_ISSOCK(status.st_mode);
}

}  // namespace

std::unique_ptr<MigrationListener> MigrationListener::create(const std::string& where,
                                                             std::string* error) {
  std::unique_ptr<MigrationListener> listener(new MigrationListener);
  listener->where_ = where;
  if (const int inherited = inherited_descriptor(where); inherited >= 0) {
    if (is_socket(inherited) && fcntl(inherited, F_SETFL, O_RDWR | O_NONBLOCK) == 0 &&
        fcntl(inherited, F_SETFD, FD_CLOEXEC) == 0) {
      listener->inherited_ = inherited;
      return listener;
    }
    *error = "--incoming: " + where + " is no socket of this process";
    return nullptr;
  }
  ConnectionName name;
  if (!parse_connection(where.c_str(), &name)) {
    *error = "--incoming: '" + where + "' is no address";
    return nullptr;
  }
  const bool is_unix = name.kind == ConnectionName::Kind::Unix;
  if (is_unix) remove_deserted_socket(name.path.data());
  listener->listening_ = listen_for_connection(name, &name.port);
  if (listener->listening_ < 0) {
    *error = "--incoming: cannot listen at " + where + ": " + std::strerror(errno);
    return nullptr;
  }
  if (is_unix) listener->path_ = name.path.data();
  if (!is_unix) {
    listener->where_ = where.substr(0, where.rfind(':') + 1) + std::to_string(name.port);
  }
  return listener;
}

MigrationListener::~MigrationListener() { close(); }

void MigrationListener::close() {
  for (int* descriptor : {&listening_, &inherited_}) {
    if (*descriptor >= 0) ::close(std::exchange(*descriptor, -1));
  }
  if (!path_.empty()) remove_host_file(std::exchange(path_, {}));
}

int MigrationListener::wait(std::string* error) {
  constexpr int kLookMilliseconds = 20;
  if (listening_ < 0) {
    if (inherited_ < 0) *error = "--incoming: " + where_ + " has ended";
    return std::exchange(inherited_, -1);
  }
  while (!HostSignals::termination_requested()) {
    pollfd one{listening_, POLLIN, 0};
    if (poll(&one, 1, kLookMilliseconds) <= 0) continue;
    const int made = accept_connection(listening_);
    if (made >= 0) return made;
  }
  *error = "--incoming: the end was asked for before a machine came";
  return -1;
}

bool check_migration_address(const std::string& option, const std::string& where, bool has_key,
                             std::string* problem) {
  ConnectionName name;
  if (inherited_descriptor(where) >= 0) return true;
  if (!parse_connection(where.c_str(), &name)) {
    *problem = option + ": cannot use '" + where +
               "' (unix:PATH, tcp:HOST:PORT with HOST as four numbers, fd:N)";
    return false;
  }
  if (has_key || name.is_local()) return true;
  *problem = option + ": " + where + " leaves this host, which needs a key (--migration-key)";
  return false;
}

}  // namespace ringshift

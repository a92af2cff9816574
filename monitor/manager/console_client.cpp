#include "monitor/manager/console_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "devices/host/host_console.h"
#include "monitor/host/exit_codes.h"
#include "monitor/manager/bounded_log.h"
#include "monitor/manager/machines/signal_inlet.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {
namespace {

constexpr char kLeave = 0x1d;  // Ctrl-]

int fail(const std::string& message, int exit_code = kExitUsage) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return exit_code;
}

bool print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      pollfd waiting{STDOUT_FILENO, POLLOUT, 0};
      (void)poll(&waiting, 1, -1);
      continue;
    }
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

// Sends typed keys to the machine. False: the person leaves, or no more keys can come.
class Keys {
 public:
  explicit Keys(bool is_terminal) : is_terminal_(is_terminal) {}
  [[nodiscard]] bool have_ended() const { return have_ended_; }
  // True: the person leaves.
  [[nodiscard]] bool take(Wire* wire) {
    std::array<char, 1024> bytes;
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return false;
    have_ended_ = count <= 0;
    const std::string_view typed(bytes.data(), count > 0 ? static_cast<size_t>(count) : 0);
    const size_t leave = is_terminal_ ? typed.find(kLeave) : std::string_view::npos;
    wire->send(typed.substr(0, leave));
    return leave != std::string_view::npos;
  }

 private:
  bool is_terminal_;
  bool have_ended_ = false;
};

int talk(Wire* wire, SignalInlet* signals, bool is_terminal) {
  Keys keys(is_terminal);
  while (wire->is_open() && !wire->has_ended()) {
    const bool reads = !keys.have_ended() && !wire->has_output();
    std::array<pollfd, 3> waiting{{{signals->descriptor(), POLLIN, 0},
                                   wire->waiting_for(),
                                   {reads ? STDIN_FILENO : -1, POLLIN, 0}}};
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    wire->serve(waiting[1].revents);
    if (!print(wire->take_bytes())) return kExitHost;
    if (signals->take() != 0) return kExitQuit;
    if (waiting[2].revents == 0) continue;
    if (keys.take(wire)) return kExitPowerOff;
    if (keys.have_ended() && is_terminal) return kExitQuit;
  }
  return kExitPowerOff;
}

// The log from this place on, or from its beginning if it is a new file.
class LogReader {
 public:
  explicit LogReader(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] bool print_more() {
    const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (file < 0 || fstat(file, &status) != 0) return true;
    if (status.st_ino != inode_) {
      // The rest of the text, which is in the older file now.
      if (inode_ != 0 && !print_from(BoundedLog::older(path_))) return false;
      at_ = 0;
      inode_ = status.st_ino;
    }
    close(file);
    return print_from(path_);
  }

 private:
  bool print_from(const std::string& path) {
    const std::optional<std::string> text = read_whole(path);
    if (!text || text->size() <= at_) return true;
    const std::string_view more = std::string_view(*text).substr(at_);
    at_ += more.size();
    return print(more);
  }

  std::string path_;
  ino_t inode_ = 0;
  size_t at_ = 0;
};

}  // namespace

int be_at_console(const std::string& name, const MachineFolder& folder) {
  SignalInlet signals;
  if (!signals.open({SIGTERM, SIGHUP, SIGINT})) return fail("the host refuses signals", kExitHost);
  Wire wire = Wire::to(folder.console());
  if (!wire.is_open()) {
    return fail(name + " has no console: there is no such machine, or it has ended");
  }
  const bool is_terminal = isatty(STDIN_FILENO) != 0;
  if (is_terminal)
    std::fputs("ringshift: Ctrl-] leaves the console; the machine goes on\n", stderr);
  const bool is_raw = is_terminal && make_terminal_raw(STDIN_FILENO);
  const int exit_code = talk(&wire, &signals, is_terminal);
  if (is_raw) restore_terminal();
  if (wire.has_ended()) std::fprintf(stderr, "\nringshift: %s has ended\n", name.c_str());
  return exit_code;
}

int print_log(const std::string& name, const MachineFolder& folder, Follow follow) {
  constexpr int kLook = 200;  // ms
  struct stat status {};
  if (stat(folder.path.c_str(), &status) != 0) return fail("there is no machine " + name);
  const std::optional<std::string> older = read_whole(BoundedLog::older(folder.log()));
  LogReader log(folder.log());
  bool good = !older || print(*older);
  good = good && log.print_more();
  while (good && follow == Follow::UntilItEnds && Wire::to(folder.keeper()).is_open()) {
    (void)poll(nullptr, 0, kLook);
    good = log.print_more();
  }
  if (good && follow == Follow::UntilItEnds) good = log.print_more();
  return good ? kExitPowerOff : kExitHost;
}

}  // namespace ringshift::manager

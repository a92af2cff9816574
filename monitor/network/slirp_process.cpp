#include "monitor/network/slirp_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "monitor/host/host_signals.h"
#include "monitor/network/frame_stream.h"
#include "monitor/network/slirp_sandbox.h"
#include "monitor/network/slirp_server.h"

namespace ringshift {
namespace {

// The longest message of the process about its start; an empty one is a success.
constexpr size_t kLongestLine = 1000;

// ---- in the new process ----

// Its own socket is 3; the standard streams lead nowhere, so that nothing a guest does is printed.
[[nodiscard]] bool keep_only(int socket) {
  constexpr int kSocket = 3;
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0 || dup2(socket, kSocket) < 0) return false;
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (dup2(nothing, number) < 0) return false;
  }
  return syscall(SYS_close_range, kSocket + 1, ~0U, 0) == 0;
}

void say(int socket, const std::string& line) {
  const std::span text(reinterpret_cast<const uint8_t*>(line.data()), line.size());
  std::vector<uint8_t> message;
  append_frame(text.first(std::min(text.size(), kLongestLine)), &message);
  (void)!::send(socket, message.data(), message.size(), MSG_NOSIGNAL);
}

[[noreturn]] void be_the_network(const UserNetwork& wanted, SlirpProcess::Walls walls, int socket,
                                 pid_t monitor) {
  constexpr int kSocket = 3;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != monitor) _exit(0);
  HostSignals::ignore_in_helper();
  prctl(PR_SET_NAME, "ringshift-net");
  if (!keep_only(socket)) _exit(1);
  std::string problem;
  SlirpServer server(wanted, kSocket);
  const bool begun = server.begin(&problem);
  if (begun && walls == SlirpProcess::Walls::Up) confine_slirp(wanted);
  say(kSocket, problem);
  if (begun) server.run();
  _exit(0);
}

// ---- in the monitor ----

// False: the process has gone, or the run is to end.
bool receive_all(int socket, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = recv(socket, bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR && !HostSignals::termination_requested()) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

std::unique_ptr<SlirpProcess> SlirpProcess::start(const UserNetwork& wanted, Walls walls,
                                                  std::string* error) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    *error = std::string("no socket for the process of the network: ") + std::strerror(errno);
    return nullptr;
  }
  std::unique_ptr<SlirpProcess> made(new SlirpProcess());
  made->socket_ = ends[0];
  const pid_t monitor = getpid();
  made->process_ = fork();
  if (made->process_ == 0) be_the_network(wanted, walls, ends[1], monitor);
  const int reason = errno;
  ::close(ends[1]);
  if (made->process_ < 0) {
    *error = std::string("no process for the network: ") + std::strerror(reason);
    return nullptr;
  }
  return made->hear_of_start(error) ? std::move(made) : nullptr;
}

bool SlirpProcess::hear_of_start(std::string* error) const {
  std::array<uint8_t, kFramePrefix> prefix{};
  std::array<uint8_t, kLongestLine> line{};
  *error = "--net user: the process of the network has not started";
  if (!receive_all(socket_, prefix)) return false;
  const size_t length = frame_length(prefix);
  if (length == 0) return true;
  const auto text = std::span(line).first(std::min(length, line.size()));
  if (receive_all(socket_, text)) {
    error->assign(reinterpret_cast<const char*>(text.data()), text.size());
  }
  return false;
}

SlirpProcess::~SlirpProcess() {
  constexpr int kTries = 50;
  if (socket_ >= 0) ::close(socket_);
  for (int i = 0; process_ > 0 && i < kTries; ++i) {
    if (waitpid(process_, nullptr, WNOHANG) != 0) return;
    (void)poll(nullptr, 0, 1);
  }
}

int SlirpProcess::take_socket() { return std::exchange(socket_, -1); }

}  // namespace ringshift

#include "monitor/host/children/daemon.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "monitor/host/exit_codes.h"

namespace ringshift {
namespace {

constexpr char kReady = 'r';

int code_of(int status) {
  constexpr int kSignalled = 128;  // as shells tell of a signal
  return WIFEXITED(status) ? WEXITSTATUS(status) : kSignalled + WTERMSIG(status);
}

// The child says that it is ready, or its end closes the pipe.
int wait_for_child(int pipe, pid_t child) {
  char word = 0;
  ssize_t count = 0;
  do {
    count = read(pipe, &word, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1 && word == kReady) return 0;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return code_of(status);
}

}  // namespace

Daemon::~Daemon() {
  if (ready_ >= 0) close(ready_);
  if (nothing_ >= 0) close(nothing_);
}

Daemon::Side Daemon::start(int* exit_code, std::string* problem) {
  std::array<int, 2> pipe{-1, -1};
  nothing_ = open("/dev/null", O_RDWR | O_CLOEXEC);
  const bool is_prepared = nothing_ >= 0 && pipe2(pipe.data(), O_CLOEXEC) == 0;
  const pid_t child = is_prepared ? fork() : -1;
  if (child < 0) {
    *problem = std::string("--daemonize: ") + std::strerror(errno);
    for (const int one : pipe) {
      if (one >= 0) close(one);
    }
    return Side::Failed;
  }
  if (child > 0) {
    close(pipe[1]);
    *exit_code = wait_for_child(pipe[0], child);
    close(pipe[0]);
    return Side::Parent;
  }
  close(pipe[0]);
  ready_ = pipe[1];
  setsid();
  if (dup2(nothing_, STDIN_FILENO) < 0 || dup2(nothing_, STDOUT_FILENO) < 0) _exit(kExitUsage);
  return Side::Child;
}

// By dup3, which a confined process may call; the C library's dup2 is another call.
void Daemon::note_ready() {
  if (ready_ < 0) return;
  (void)dup3(nothing_, STDERR_FILENO, 0);
  (void)!write(ready_, &kReady, 1);
  close(ready_);
  ready_ = -1;
}

}  // namespace ringshift

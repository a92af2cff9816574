#include "monitor/host/children/piped_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000, kSecond = 1'000'000'000;

int milliseconds_until(Nanoseconds deadline) {
  constexpr Nanoseconds kLongest = 60 * kSecond;
  const Nanoseconds left = std::clamp<Nanoseconds>(deadline - HostClock::monotonic(), 0, kLongest);
  return static_cast<int>((left + kMillisecond - 1) / kMillisecond);
}

[[noreturn]] void become(const std::vector<std::string>& words, int input, int output,
                         pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  std::string name = "ringshift";
  std::vector<std::string> own = words;
  std::vector<char*> arguments{name.data()};
  for (std::string& word : own) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  _exit(127);
}

}  // namespace

std::unique_ptr<PipedChild> PipedChild::start(const std::vector<std::string>& words,
                                              std::string* error) {
  auto child = std::unique_ptr<PipedChild>(new PipedChild);
  std::array<int, 2> in{-1, -1}, out{-1, -1};
  const pid_t parent = getpid();
  if (pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0) {
    child->process_ = fork();
    if (child->process_ == 0) become(words, in[0], out[1], parent);
  }
  const int reason = errno;
  for (const int end : {in[0], out[1]}) {
    if (end >= 0) ::close(end);
  }
  child->input_ = in[1];
  child->output_ = out[0];
  if (child->process_ > 0) {
    (void)fcntl(child->input_, F_SETFL, O_WRONLY | O_NONBLOCK);
    // A machine that ends while it is typed to is no reason to end.
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    return child;
  }
  *error = std::string("no process for the machine: ") + std::strerror(reason);
  return nullptr;
}

PipedChild::~PipedChild() {
  end();
  for (const int descriptor : {input_, output_}) {
    if (descriptor >= 0) ::close(descriptor);
  }
}

void PipedChild::send_some() {
  const ssize_t count = ::write(input_, to_send_.data(), to_send_.size());
  if (count > 0) to_send_.erase(0, static_cast<size_t>(count));
  // Nobody reads any more: its output ends, too, and says so.
  if (count < 0 && errno == EPIPE) to_send_.clear();
}

bool PipedChild::read(Nanoseconds deadline, std::string* text) {
  std::array<char, 16384> bytes;
  while (true) {
    std::array<pollfd, 2> waiting{
        {{output_, POLLIN, 0}, {to_send_.empty() ? -1 : input_, POLLOUT, 0}}};
    const int ready = poll(waiting.data(), waiting.size(), milliseconds_until(deadline));
    if (ready < 0) return true;  // a signal
    if (waiting[1].revents != 0) send_some();
    if (waiting[0].revents != 0) {
      const ssize_t count = ::read(output_, bytes.data(), bytes.size());
      if (count > 0) text->append(bytes.data(), static_cast<size_t>(count));
      return count > 0 || (count < 0 && errno == EINTR);
    }
    if (HostClock::monotonic() >= deadline) return true;
  }
}

bool PipedChild::has_ended() {
  if (!ended_) ended_ = process_ <= 0 || waitpid(process_, &status_, WNOHANG) == process_;
  return ended_;
}

int PipedChild::wait(Nanoseconds deadline) {
  while (!has_ended() && HostClock::monotonic() < deadline) (void)poll(nullptr, 0, 5);
  end();
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

void PipedChild::end() {
  if (has_ended()) return;
  kill(process_, SIGTERM);
  const Nanoseconds deadline = HostClock::monotonic() + kSecond;
  std::string lost;  // what it still prints: it may wait for somebody to read it
  while (!has_ended() && HostClock::monotonic() < deadline) {
    const Nanoseconds soon = HostClock::monotonic() + 10 * kMillisecond;
    if (!read(std::min(deadline, soon), &lost)) (void)poll(nullptr, 0, 5);
    lost.clear();
  }
  if (has_ended()) return;
  kill(process_, SIGKILL);
  while (waitpid(process_, &status_, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
}

}  // namespace ringshift

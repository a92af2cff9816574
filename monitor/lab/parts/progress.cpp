#include "monitor/lab/parts/progress.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <system_error>
#include <utility>

#include "monitor/host/time/host_clock.h"

namespace ringshift::lab {
namespace {

constexpr Nanoseconds kFirst = 2'000'000'000;
constexpr int kOftenMilliseconds = 1'000, kSeldomMilliseconds = 5'000;

std::atomic<const char*> g_step{nullptr};

}  // namespace

void note_step(const char* step) { g_step.store(step); }

Progress::Progress(std::string what)
    : what_(std::move(what)), is_terminal_(isatty(STDERR_FILENO) == 1) {
  note_step(nullptr);
  try {
    thread_.start("progress", [this] { work(); });
  } catch (const std::system_error&) {
    // Then it is silent.
  }
}

Progress::~Progress() {
  thread_.join();
  if (has_said_ && is_terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::work() {
  const Nanoseconds began = HostClock::monotonic();
  const auto passed = [&] { return HostClock::monotonic() - began; };
  int wait = static_cast<int>(kFirst / 1'000'000);
  while (!thread_.is_stopping()) {
    pollfd woken{thread_.wake_descriptor(), POLLIN, 0};
    (void)poll(&woken, 1, wait);
    thread_.take_wake();
    if (thread_.is_stopping() || passed() < kFirst) continue;
    say(static_cast<double>(passed()) / 1e9);
    wait = is_terminal_ ? kOftenMilliseconds : kSeldomMilliseconds;
  }
}

void Progress::say(double seconds) {
  const char* step = g_step.load();
  std::string line = fmt::format("ringshift: {}{}{}, {:.0f} s", what_, step != nullptr ? ": " : "",
                                 step != nullptr ? step : "", seconds);
  line = is_terminal_ ? "\r" + line + "\x1b[K" : line + "\n";
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  has_said_ = true;
}

}  // namespace ringshift::lab

#include "monitor/host/sandbox/host_limits.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <new>
#include <string_view>

#include "devices/host/host_console.h"
#include "monitor/host/exit_codes.h"

namespace ringshift {
namespace {

std::atomic<bool> g_guest_runs{false};
std::atomic<bool> g_has_memory_limit{false};

// There is no way back through generated code, and nothing an object could still be made with.
[[noreturn]] void end_for_want_of_memory() {
  restore_terminal();
  constexpr std::string_view kLine = "ringshift: the host refuses memory (see ulimit -v, -d)\n";
  constexpr std::string_view kOurs = "ringshift: the machine has no more memory (--limit memory)\n";
  const std::string_view line = g_has_memory_limit.load() ? kOurs : kLine;
  (void)!write(STDERR_FILENO, line.data(), line.size());
  _exit(g_guest_runs.load() ? kExitHost : kExitUsage);
}

}  // namespace

void prepare_for_limits() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::set_new_handler(end_for_want_of_memory);
}

void note_guest_runs() { g_guest_runs.store(true); }
void note_memory_limit() { g_has_memory_limit.store(true); }

}  // namespace ringshift

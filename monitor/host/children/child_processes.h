// ChildProcesses: the processes whose work is a machine's besides its own: those that this thread
// has started and not yet waited for, by the host's own list, and its keeper. See docs/machines.md,
// "Limits".
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ringshift {

// Their numbers; none where the host has no such list (proc(5), /proc/PID/task/TID/children).
// file: where the list is; another one in tests.
[[nodiscard]] std::vector<int> child_processes(
    const std::string& file = "/proc/thread-self/children");

// A keeper tells the machine that it starts its own number in this variable of the environment.
inline constexpr const char* kKeeperVariable = "RINGSHIFT_KEEPER";
// The keeper that has started this process; nothing if nobody keeps it.
[[nodiscard]] std::optional<int> keeper_process();

}  // namespace ringshift

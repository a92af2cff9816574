// ChildProcesses: which processes this thread has started and not yet waited for, by the host's own
// list. See docs/machines.md, "Limits".
#pragma once

#include <string>
#include <vector>

namespace ringshift {

// Their numbers; none where the host has no such list (proc(5), /proc/PID/task/TID/children).
// file: where the list is; another one in tests.
[[nodiscard]] std::vector<int> child_processes(
    const std::string& file = "/proc/thread-self/children");

}  // namespace ringshift

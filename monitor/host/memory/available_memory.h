// AvailableMemory: how much memory the host could still give this process, as its kernel and the
// control groups that the process is in say (proc(5), MemAvailable; cgroup v2, memory.max and
// memory.current).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ringshift {

// Bytes; none: the host does not say. The files are those below `root`, "" for the host's own.
[[nodiscard]] std::optional<uint64_t> available_memory(const std::string& root = "");

}  // namespace ringshift

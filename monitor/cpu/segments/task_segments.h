// Task segments: the segment registers of a task that has just become the current one, each with
// the checks of SDM 3A table 7-1.
#pragma once

#include <array>
#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

using TaskSelectors = std::array<uint16_t, kSegmentCount>;

// Pre: the task's registers and flags are loaded. A fault belongs to the new task.
[[nodiscard]] MaybeFault load_task_segments(CpuContext& cpu, const TaskSelectors& selectors,
                                            uint16_t ldt);

}  // namespace ringshift

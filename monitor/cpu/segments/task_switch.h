// Task switch: functions for the callers inside this folder, besides switch_task() of
// segmentation.h. SDM 3A 7.3: checks, save, commit point, load; later faults are the new task's.
// See docs/faults-and-exits.md.
#pragma once

#include <cstdint>

#include "monitor/cpu/segments/segmentation.h"

namespace ringshift {

struct TaskSwitchRequest {
  uint16_t selector = 0;
  TaskSwitchSource source = TaskSwitchSource::Jump;
  Eip return_eip;
  bool push_error_code = false;
  uint32_t error_code = 0;
  uint32_t external = 0;     // EXT bit of error codes raised on the way
  uint32_t saved_flags = 0;  // EFLAGS bits to set in the old task's image (RF of faults)
};

// *committed: the new task is current, so a fault returned is its own.
[[nodiscard]] MaybeFault perform_task_switch(CpuContext& cpu, const TaskSwitchRequest& request,
                                             bool* committed);

}  // namespace ringshift

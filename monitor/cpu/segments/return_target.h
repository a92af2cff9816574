// Return target: the destination of RET and IRET, and the checks that both share. Owns: values
// only. SDM 2B RET, SDM 2A IRET: RETURN-TO-SAME and RETURN-TO-OUTER-PRIVILEGE-LEVEL. Keeps: V1
// (nothing is committed before every check). See docs/faults-and-exits.md.
#pragma once

#include <cstdint>

#include "monitor/cpu/segments/guest_stack.h"
#include "monitor/cpu/segments/segmentation.h"

namespace ringshift {

struct ReturnTarget {
  Descriptor code;
  uint16_t selector = 0;
  uint32_t eip = 0;
  uint16_t stack_selector = 0;  // outer returns only
  uint32_t esp = 0;
};

// CS as popped: null, privilege, presence.
[[nodiscard]] MaybeFault check_return_code(CpuContext& cpu, uint16_t selector, Descriptor* code);
[[nodiscard]] MaybeFault pop_outer_stack(StackPopper& popper, ReturnTarget* target);
// Commits CS:EIP. The caller commits ESP.
[[nodiscard]] MaybeFault return_to_same_ring(CpuContext& cpu, const ReturnTarget& target);
// Commits CS:EIP, SS:ESP, CPL and nulls data segments the outer ring may not have.
[[nodiscard]] MaybeFault return_to_outer_ring(CpuContext& cpu, const ReturnTarget& target);

}  // namespace ringshift

// Direct obstacle: the reasons why guest user code may not run untranslated, as far as the guest's
// registers say. Registers that the sandboxed process cannot be given exactly are named here; such
// code runs translated or interpreted instead. Pure. See docs/direct-execution.md.
#pragma once

#include <cstdint>

#include "translator/guest_state.h"

namespace ringshift {

enum class DirectObstacle : uint8_t {
  None,
  NotUser,          // CPL 0 to 2
  InterruptsOff,    // IF clear, or IOPL 3: POPF, CLI and IN would mean something else
  SegmentsNotFlat,  // FS or GS with a limit, expand-down, or not writable
  FpuUnavailable,   // CR0.TS or EM, or no CR4.OSFXSR: FPU instructions must fault
  AlignmentMask,    // CR0.AM clear and EFLAGS.AC set: the host checks alignment
};

// Pre: execution_mode() says Translatable.
[[nodiscard]] DirectObstacle direct_obstacle(const GuestState& state);

}  // namespace ringshift

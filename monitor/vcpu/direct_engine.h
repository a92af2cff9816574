// Direct engine: guest user code on the processor itself, behind the same Exit as translated code.
// Owns: nothing. Called by: vcpu. What the sandboxed process cannot be given exactly is named here
// and runs translated or interpreted instead. See docs/direct-execution.md.
#pragma once

#include <cstdint>

#include "monitor/direct/direct_space.h"
#include "translator/exit.h"
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

// Pre: execution_mode() says Translatable. Pure.
[[nodiscard]] DirectObstacle direct_obstacle(const GuestState& state);
[[nodiscard]] const char* direct_obstacle_name(DirectObstacle obstacle);

// Runs from state.eip on until something stops the code. Pre: no obstacle, and everything queued
// for the space has been carried out.
[[nodiscard]] Exit run_directly(DirectSpace& space, GuestState* state);

}  // namespace ringshift

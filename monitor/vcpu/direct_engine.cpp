#include "monitor/vcpu/direct_engine.h"

#include <x86intrin.h>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// Null, or data that any offset may read and write: what a flat selector with a base of its own
// gives in the sandboxed process.
bool is_null_or_unlimited(const SegmentCache& segment) {
  if (!segment.usable()) return true;
  return segment.is_writable_data() && !segment.is_expand_down() && segment.limit == 0xffffffffU;
}

ExitReason reason_of(DirectStop::Kind kind) {
  switch (kind) {
    case DirectStop::Kind::PageFault:
      return ExitReason::DirectFault;
    case DirectStop::Kind::Instruction:
      return ExitReason::Interpret;
    case DirectStop::Kind::SingleStep:
      return ExitReason::DirectStep;
    case DirectStop::Kind::Kicked:
      return ExitReason::DirectPreempted;
    case DirectStop::Kind::Escaped:
      return ExitReason::DirectEscape;
    case DirectStop::Kind::Gone:
      return ExitReason::DirectLost;
  }
  UNREACHABLE();
}

}  // namespace

DirectObstacle direct_obstacle(const GuestState& state) {
  if (state.cpl != 3) return DirectObstacle::NotUser;
  if ((state.eflags & kFlagIf) == 0 || state.iopl() != 0) return DirectObstacle::InterruptsOff;
  if (!is_null_or_unlimited(state.seg(SegmentRegister::Fs)) ||
      !is_null_or_unlimited(state.seg(SegmentRegister::Gs))) {
    return DirectObstacle::SegmentsNotFlat;
  }
  constexpr uint32_t kSse = kCr4Osfxsr | kCr4Osxmmexcpt;
  if ((state.cr0 & (kCr0Ts | kCr0Em)) != 0 || (state.cr4 & kSse) != kSse) {
    return DirectObstacle::FpuUnavailable;
  }
  if ((state.cr0 & kCr0Am) == 0 && (state.eflags & kFlagAc) != 0) {
    return DirectObstacle::AlignmentMask;
  }
  return DirectObstacle::None;
}

const char* direct_obstacle_name(DirectObstacle obstacle) {
  switch (obstacle) {
    case DirectObstacle::None:
      return "none";
    case DirectObstacle::NotUser:
      return "not at CPL 3";
    case DirectObstacle::InterruptsOff:
      return "interrupts off or IOPL 3";
    case DirectObstacle::SegmentsNotFlat:
      return "FS or GS not flat";
    case DirectObstacle::FpuUnavailable:
      return "FPU or SSE unavailable";
    case DirectObstacle::AlignmentMask:
      return "alignment flag without alignment checks";
  }
  return "?";
}

Exit run_directly(DirectSpace& space, GuestState* state) {
  const uint64_t before = __rdtsc();
  const DirectStop stop = space.process().run(state);
  counters().direct_slices++;
  Exit exit;
  exit.reason = reason_of(stop.kind);
  exit.eip = state->eip;
  exit.address = stop.address;
  exit.host_cycles = __rdtsc() - before;
  counters().direct_cycles += exit.host_cycles;
  return exit;
}

}  // namespace ringshift

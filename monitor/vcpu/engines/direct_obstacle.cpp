#include "monitor/vcpu/engines/direct_obstacle.h"

namespace ringshift {
namespace {

// Null, or data that any offset may read and write: a flat selector with a base of its own in the
// sandboxed process does the same.
bool is_null_or_unlimited(const SegmentCache& segment) {
  return !segment.usable() || segment.is_unlimited_data();
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

}  // namespace ringshift

#include "monitor/vcpu/execution_mode.h"

namespace ringshift {
namespace {

constexpr uint32_t kDr7AnyEnable = 0xff;

}  // namespace

ModeReason execution_mode(const GuestState& state) {
  if (!state.protected_mode()) return ModeReason::RealMode;
  if (state.v86_mode()) return ModeReason::Virtual8086;
  if ((state.eflags & kFlagTf) != 0) return ModeReason::SingleStep;
  if (state.interrupt_shadow != 0) return ModeReason::InterruptShadow;
  if (!state.seg(SegmentRegister::Cs).default_32()) return ModeReason::SixteenBitCode;
  if (!state.seg(SegmentRegister::Cs).is_flat_code() ||
      !state.seg(SegmentRegister::Ss).is_flat_data() ||
      !state.seg(SegmentRegister::Ss).default_32() ||
      !state.seg(SegmentRegister::Ds).is_flat_data() ||
      !state.seg(SegmentRegister::Es).is_flat_data()) {
    return ModeReason::SegmentsNotFlat;
  }
  if (state.cpl == 1 || state.cpl == 2) return ModeReason::MiddleRing;
  if ((state.dr[7] & kDr7AnyEnable) != 0) return ModeReason::Breakpoints;
  if (state.cpl == 3 && (state.cr0 & kCr0Am) != 0 && (state.eflags & kFlagAc) != 0) {
    return ModeReason::AlignmentChecks;
  }
  return ModeReason::Translatable;
}

const char* mode_reason_name(ModeReason reason) {
  switch (reason) {
    case ModeReason::Translatable:
      return "translatable";
    case ModeReason::RealMode:
      return "real mode";
    case ModeReason::Virtual8086:
      return "virtual-8086 mode";
    case ModeReason::SixteenBitCode:
      return "16-bit code segment";
    case ModeReason::SegmentsNotFlat:
      return "segments not flat";
    case ModeReason::MiddleRing:
      return "CPL 1 or 2";
    case ModeReason::SingleStep:
      return "single-stepping";
    case ModeReason::Breakpoints:
      return "debug breakpoints";
    case ModeReason::InterruptShadow:
      return "interrupt shadow";
    case ModeReason::AlignmentChecks:
      return "alignment checks";
  }
  return "?";
}

}  // namespace ringshift

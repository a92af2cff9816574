#include "monitor/vcpu/execution_mode.h"

#include <algorithm>

namespace ringshift {
namespace {

constexpr uint32_t kDr7AnyEnable = 0xff;

bool is_flat(const GuestState& state) {
  const SegmentCache& ss = state.seg(SegmentRegister::Ss);
  return state.seg(SegmentRegister::Cs).is_flat_code() && ss.is_flat_data() && ss.default_32() &&
         state.seg(SegmentRegister::Ds).is_flat_data() &&
         state.seg(SegmentRegister::Es).is_flat_data() &&
         !needs_own_mode(state.seg(SegmentRegister::Fs)) &&
         !needs_own_mode(state.seg(SegmentRegister::Gs));
}

// Whether segments are what loads in virtual-8086 mode make of them. They are, unless somebody has
// set them from outside.
bool has_segments_of_virtual_8086(const GuestState& state) {
  constexpr uint32_t kLimit = 0xffff;
  constexpr uint16_t kAttributes = 0xf3;  // present, DPL 3, data, writable, accessed
  return std::all_of(state.segment.begin(), state.segment.end(), [](const SegmentCache& cache) {
    return cache.limit == kLimit && cache.attributes == kAttributes;
  });
}

// Nothing, of what holds in every mode, that the interpreter has to see to.
ModeReason obstacle(const GuestState& state) {
  if ((state.eflags & kFlagTf) != 0) return ModeReason::SingleStep;
  if (state.interrupt_shadow != 0) return ModeReason::InterruptShadow;
  if (state.cpl == 1 || state.cpl == 2) return ModeReason::MiddleRing;
  if ((state.dr[7] & kDr7AnyEnable) != 0) return ModeReason::Breakpoints;
  if (state.cpl == 3 && (state.cr0 & kCr0Am) != 0 && (state.eflags & kFlagAc) != 0) {
    return ModeReason::AlignmentChecks;
  }
  return ModeReason::Translatable;
}

}  // namespace

ModeReason execution_mode(const GuestState& state) {
  if (!state.protected_mode()) return ModeReason::RealMode;
  if (state.v86_mode()) return ModeReason::Virtual8086;
  if (const ModeReason found = obstacle(state); found != ModeReason::Translatable) return found;
  if (!state.seg(SegmentRegister::Cs).default_32()) return ModeReason::SixteenBitCode;
  return is_flat(state) ? ModeReason::Translatable : ModeReason::SegmentsNotFlat;
}

std::optional<CodeMode> translated_mode(const GuestState& state) {
  if (obstacle(state) != ModeReason::Translatable) return std::nullopt;
  const bool has_descriptors = state.protected_mode() && !state.v86_mode();
  if (has_descriptors && is_flat(state)) return CodeMode{};
  if (state.v86_mode() && !has_segments_of_virtual_8086(state)) return std::nullopt;
  return code_mode_of(state);
}

bool needs_own_mode(const SegmentCache& fs_or_gs) {
  return fs_or_gs.usable() && !fs_or_gs.is_unlimited_data();
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

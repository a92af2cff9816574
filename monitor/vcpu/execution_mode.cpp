#include "monitor/vcpu/execution_mode.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

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

// True: segments are as loads in virtual-8086 mode make them. They are, unless somebody has set
// them from outside.
bool has_segments_of_virtual_8086(const GuestState& state) {
  constexpr uint32_t kLimit = 0xffff;
  constexpr uint16_t kAttributes = 0xf3;  // present, DPL 3, data, writable, accessed
  return std::all_of(state.segment.begin(), state.segment.end(), [](const SegmentCache& cache) {
    return cache.limit == kLimit && cache.attributes == kAttributes;
  });
}

// The obstacle in every mode for which the interpreter is needed; Translatable: there is none.
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

// All that a mode depends on beside the segments, each in bits of its own.
uint64_t control_of(const GuestState& state) {
  constexpr unsigned kBitsOfCr0 = 32;  // PE and AM: 32 and 50
  constexpr unsigned kBitsOfCpl = 34;
  constexpr unsigned kBitsOfShadow = 40;
  constexpr unsigned kBitsOfDr7 = 56;
  return (state.eflags & (kFlagTf | kFlagVm | kFlagAc)) |
         uint64_t{state.cr0 & (kCr0Pe | kCr0Am)} << kBitsOfCr0 | uint64_t{state.cpl} << kBitsOfCpl |
         uint64_t{state.interrupt_shadow} << kBitsOfShadow |
         uint64_t{state.dr[7] & kDr7AnyEnable} << kBitsOfDr7;
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

const std::optional<CodeMode>& ModeMemory::of(const GuestState& state) {
  static_assert(std::has_unique_object_representations_v<SegmentCache>);
  const uint64_t rest = control_of(state);
  if (rest != rest_ || std::memcmp(&segments_, &state.segment, sizeof(segments_)) != 0) {
    mode_ = translated_mode(state);
    segments_ = state.segment;
    rest_ = rest;
  }
  return mode_;
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

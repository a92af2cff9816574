#include "translator/code_mode.h"

namespace ringshift {
namespace {

constexpr uint32_t kLargeLimit = 0xffff;
constexpr uint32_t kNoLimit = 0xffffffff;

SegmentKind kind_by_limit(const SegmentCache& cache) {
  if (cache.limit == kNoLimit) return SegmentKind::Based;
  return cache.limit >= kLargeLimit ? SegmentKind::Large : SegmentKind::Checked;
}

// Selectors can be loaded without a descriptor there, so no kind depends on a base.
SegmentKind kind_with_real_selectors(const SegmentCache& cache) {
  if (!cache.usable() || cache.is_expand_down()) return SegmentKind::Odd;
  return kind_by_limit(cache);
}

}  // namespace

SegmentKind segment_kind(const SegmentCache& cache) {
  if (!cache.usable() || !cache.is_readable()) return SegmentKind::Odd;
  if (cache.is_expand_down()) {
    return cache.is_writable_data() ? SegmentKind::Down : SegmentKind::Odd;
  }
  if (!cache.is_writable_data()) return SegmentKind::Readable;
  return cache.is_flat_data() ? SegmentKind::Flat : kind_by_limit(cache);
}

CodeMode code_mode_of(const GuestState& state) {
  const bool is_virtual = state.v86_mode();
  const bool is_real = !state.protected_mode();
  const SegmentCache& cs = state.seg(SegmentRegister::Cs);
  CodeMode mode;
  mode.base = cs.base;
  mode.limit = cs.limit;
  mode.bits = (cs.default_32() ? 0U : CodeMode::kNarrowCode) |
              (state.seg(SegmentRegister::Ss).default_32() ? 0U : CodeMode::kNarrowStack) |
              (is_real ? CodeMode::kReal : 0U) | (is_virtual ? CodeMode::kVirtual8086 : 0U);
  for (uint32_t i = 0; i < kSegmentCount; ++i) {
    const auto segment = static_cast<SegmentRegister>(i);
    const SegmentCache& cache = state.seg(segment);
    const SegmentKind kind =
        is_real || is_virtual ? kind_with_real_selectors(cache) : segment_kind(cache);
    mode.bits |= static_cast<uint32_t>(kind) << CodeMode::shift_of(segment);
  }
  return mode;
}

}  // namespace ringshift

#include "translator/recovery.h"

#include <algorithm>

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

void exchange_high_and_low_byte(uint32_t* value) {
  const uint32_t low = *value & 0xffU;
  const uint32_t high = (*value >> 8) & 0xffU;
  *value = (*value & 0xffff0000U) | (low << 8) | high;
}

}  // namespace

const RecoveryPoint& recovery_point(const std::vector<RecoveryPoint>& points,
                                    uint32_t host_offset) {
  // The last of those that begin at or before the offset; equal offsets: the later one is in force.
  auto after = std::upper_bound(
      points.begin(), points.end(), host_offset,
      [](uint32_t value, const RecoveryPoint& point) { return value < point.host_offset; });
  CHECK(after != points.begin());
  return *std::prev(after);
}

RecoveryPoint recovery_point(const Fragment& fragment, uint32_t host_offset) {
  RecoveryPoint point = recovery_point(fragment.shape->recovery, host_offset);
  point.guest_eip += fragment.moved_by;
  return point;
}

uint32_t resume_offset(const std::vector<RecoveryPoint>& points, uint32_t host_offset) {
  const RecoveryPoint* point = &recovery_point(points, host_offset);
  // An instruction's sequence may have several points; they are adjacent and name the same EIP;
  // EipInAddress points belong to none (and name EIP 0, which a unit may begin at).
  while (point != points.data() && (point - 1)->guest_eip == point->guest_eip &&
         (point - 1)->kind != RecoveryKind::EipInAddress) {
    --point;
  }
  CHECK(point->kind == RecoveryKind::Boundary);
  return point->host_offset;
}

void recover(const RecoveryPoint& point, uint32_t address_register, const Slots& slots,
             GuestState* state) {
  state->eip = point.guest_eip.value();
  // The gate saves 32 bits; a window address minus the window's base, modulo 2^32, is the guest's.
  const auto base = static_cast<uint32_t>(slots.window_base);
  if (point.kind >= RecoveryKind::RepeatSource) state->reg(Gpr::Ecx) += slots.repeats_held_back;
  switch (point.kind) {
    case RecoveryKind::Boundary:
    case RecoveryKind::Counted:
      break;
    case RecoveryKind::EipInAddress:
      state->eip = address_register;
      break;
    case RecoveryKind::SwappedHighA:
    case RecoveryKind::SwappedHighC:
    case RecoveryKind::SwappedHighD:
    case RecoveryKind::SwappedHighB:
      exchange_high_and_low_byte(&state->gpr[static_cast<size_t>(point.kind) -
                                             static_cast<size_t>(RecoveryKind::SwappedHighA)]);
      break;
    case RecoveryKind::StringSource:
    case RecoveryKind::RepeatSource:
      state->reg(Gpr::Esi) -= base;
      break;
    case RecoveryKind::StringDestination:
    case RecoveryKind::RepeatDestination:
      state->reg(Gpr::Edi) -= base;
      break;
    case RecoveryKind::StringBoth:
    case RecoveryKind::RepeatBoth:
      state->reg(Gpr::Esi) -= base;
      state->reg(Gpr::Edi) -= base;
      break;
  }
}

}  // namespace ringshift

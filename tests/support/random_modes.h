// mode_from: a code mode out of one number, for tests that try many.
#pragma once

#include <array>
#include <cstdint>

#include "translator/code_mode.h"

namespace ringshift {

inline CodeMode mode_from(uint32_t number) {
  constexpr std::array<uint16_t, 8> kKinds = {0xc093, 0x93, 0x91, 0, 0x97, 0x9b, 0x4093, 0xc093};
  constexpr std::array<uint32_t, 4> kLimits = {0xffffffff, 0xffff, 0xfff, 0x123456};
  constexpr std::array<uint32_t, 4> kBases = {0, 0, 0x1000, 0x70};
  const auto take = [&number](uint32_t below) {
    const uint32_t taken = number % below;
    number = number / below + number * 2654435761U;
    return taken;
  };
  GuestState state;
  state.cr0 = take(3) == 0 ? 0 : kCr0Pe;
  state.eflags |= state.protected_mode() && take(4) == 0 ? kFlagVm : 0;
  for (SegmentCache& segment : state.segment) {
    segment = {kBases[take(4)], kLimits[take(4)], 8, kKinds[take(8)]};
  }
  state.seg(SegmentRegister::Cs).attributes = take(2) == 0 ? 0x9b : 0xc09b;
  state.seg(SegmentRegister::Cs).limit = take(2) == 0 ? 0xffffffff : 0x17ff;
  return code_mode_of(state);
}

}  // namespace ringshift

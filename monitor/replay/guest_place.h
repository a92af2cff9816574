// GuestPlace: one boundary between two instructions of a replay. The position on the tape says
// between which events; the registers say where between them, since there a guest only goes up in
// its code, or has more on a stack. See docs/debugging-backwards.md.
#pragma once

#include <array>
#include <cstdint>

#include "monitor/replay/input_tape.h"
#include "translator/guest_state.h"

namespace ringshift {

struct GuestPlace {
  TapePosition at;
  std::array<uint32_t, kGprCount> registers{};
  uint32_t eip = 0;
  uint32_t flags = 0;  // but for those of arithmetic
  uint32_t code = 0;   // the linear address of the instruction there
  uint8_t shadow = 0;  // interrupts are held off behind STI or MOV SS
  bool operator==(const GuestPlace&) const = default;

  [[nodiscard]] static GuestPlace of(const GuestState& state, const TapePosition& at) {
    return {.at = at,
            .registers = state.gpr,
            .eip = state.eip,
            .flags = state.eflags & ~kFlagsArithmetic,
            .code = state.code_address().value(),
            .shadow = state.interrupt_shadow};
  }
};

}  // namespace ringshift

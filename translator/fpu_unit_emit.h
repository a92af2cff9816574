// FpuUnit emission: the machine code of one thunk. The bytes it returns are the caller's. See SDM
// 2A chapter 2 for the encodings used.
#pragma once

#include <cstdint>
#include <vector>

#include "translator/decode.h"

namespace ringshift {

// A function `void(FpuUnitFrame*)` that loads guest state, runs the instruction once and stores the
// state. Empty when the instruction is not one that computes on x87, MMX or XMM registers only.
[[nodiscard]] std::vector<uint8_t> emit_fpu_thunk(const GuestInstruction& instruction);

}  // namespace ringshift

// FpuPrecision: whether an SSE computation is exact apart from the range of its format's exponent,
// which PE tells beside an unmasked overflow or underflow (SDM 1 4.9.1.4, 4.9.1.5). No state.
#pragma once

#include "translator/decode.h"
#include "translator/fpu_unit_runner.h"

namespace ringshift {

// True if an element of the result is inexact, whatever its exponent. False for instructions that
// neither overflow nor underflow, and for DPPS and DPPD, which round more than once. Pre: the
// request's state and operand are as before.
[[nodiscard]] bool is_inexact_in_any_range(const GuestInstruction& instruction,
                                           const FpuUnitRunner::Request& request);

}  // namespace ringshift

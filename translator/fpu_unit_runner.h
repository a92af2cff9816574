// FpuUnitRunner: runs one x87/MMX/SSE instruction natively on the guest's FPU state, a
// "one-instruction unit". An interface. Implemented by FpuUnit (and by test doubles). See
// docs/translator.md.
#pragma once

#include <cstdint>

#include "translator/guest_state.h"

namespace ringshift {

class FpuUnitRunner {
 public:
  virtual ~FpuUnitRunner() = default;
  struct Request {
    const uint8_t* instruction = nullptr;  // guest bytes, prefixes included
    uint8_t length = 0;
    // Memory operand, if the instruction has one: at most 512 bytes, 64-byte aligned buffer. Filled
    // by the caller when the instruction reads; to be written back by the caller when it writes.
    uint8_t* memory = nullptr;
    GuestState* state = nullptr;  // gpr, eflags and fxsave are inputs and outputs
    bool code_is_16_bit = false;  // CS.D clear: the instruction's default sizes
  };
  // FloatingPointError: #MF or #XM is due; destinations unchanged, status bits set.
  enum class Outcome : uint8_t { Done, FloatingPointError, NotSupported };
  [[nodiscard]] virtual Outcome run(const Request& request) = 0;
};

}  // namespace ringshift

// Interpreter FPU: functions shared by the computing half (fpu.cpp) and the state half
// (fpu_state.cpp). The guest's FPU state is GuestState::fxsave; the offsets are those of FXSAVE.
// See SDM 1 table 10-2.
#pragma once

#include <cstring>

#include "monitor/interpreter/operation.h"

namespace ringshift::interp {

enum FxsaveOffset : size_t {
  kFxControlWord = 0,
  kFxStatusWord = 2,
  kFxTags = 4,  // one bit a physical register: not empty
  kFxOpcode = 6,
  kFxInstructionOffset = 8,
  kFxInstructionSelector = 12,
  kFxDataOffset = 16,
  kFxDataSelector = 20,
  kFxMxcsr = 24,
  kFxMxcsrMask = 28,
  kFxStack = 32,  // ST(0)..ST(7), 16 bytes apart
  kFxXmm = 160,   // XMM0..XMM7
  kFxEnd = 288,
};

inline constexpr uint16_t kStatusErrorSummary = 0x8080;  // ES and B
inline constexpr uint16_t kStatusExceptions = 0x3f;

template <typename T>
[[nodiscard]] inline T fx_field(const GuestState& state, size_t offset) {
  T value;
  std::memcpy(&value, state.fxsave.data() + offset, sizeof(T));
  return value;
}
template <typename T>
inline void set_fx_field(GuestState& state, size_t offset, T value) {
  std::memcpy(state.fxsave.data() + offset, &value, sizeof(T));
}

// An unmasked exception waits for the next instruction that waits for it.
[[nodiscard]] bool x87_error_pending(const GuestState& state);
// #NM for x87 instructions but FWAIT; then #MF, or its external form, when an unmasked exception is
// pending.
[[nodiscard]] MaybeFault check_x87(const Execution& x);
[[nodiscard]] MaybeFault check_pending_x87(const Execution& x);
// FOP, FIP, FDP of the last x87 instruction that is not a control instruction (SDM 1 8.1.8).
void record_x87_pointers(Execution& x, const Operation& op, uint32_t data_offset);

[[nodiscard]] MaybeFault wait_for_x87(Execution& x, const Operation& op);
[[nodiscard]] Handler select_x87_control(const Encoding& encoding);
// FXSAVE, FXRSTOR, LDMXCSR, STMXCSR, MASKMOVQ, MASKMOVDQU.
[[nodiscard]] Handler select_fpu_state(const Encoding& encoding);

}  // namespace ringshift::interp

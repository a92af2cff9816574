// X87 registers: the registers that an FXSAVE image keeps in another form than debuggers show them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "monitor/debug/gdb/registers.h"
#include "translator/guest_state.h"

namespace ringshift::debug {

// SDM 1 table 10-2: where things lie in an FXSAVE image.
inline constexpr size_t kFcw = 0, kFsw = 2, kFtw = 4, kFop = 6, kFip = 8, kFcs = 12, kFdp = 16,
                        kFds = 20;
inline constexpr size_t kMxcsr = 24, kSt = 32, kXmm = 160, kSlot = 16;

template <typename T>
[[nodiscard]] T fxsave_field(const GuestState& state, size_t at) {
  T value;
  std::memcpy(&value, &state.fxsave[at], sizeof(value));
  return value;
}
template <typename T>
void set_fxsave_field(GuestState* state, size_t at, T value) {
  std::memcpy(&state->fxsave[at], &value, sizeof(value));
}

[[nodiscard]] uint32_t x87_state(const GuestState& state, X87Field which);
void set_x87_state(GuestState* state, X87Field which, uint32_t value);

}  // namespace ringshift::debug

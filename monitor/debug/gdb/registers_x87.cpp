#include "monitor/debug/gdb/registers_x87.h"

#include "shadowmmu/base/check.h"

namespace ringshift::debug {
namespace {

constexpr unsigned kX87Registers = 8;
constexpr unsigned kTagEmpty = 3;

// The tag that FSTENV would store for a register in use (SDM 1 8.1.7).
unsigned tag_of(const GuestState& state, size_t at) {
  const auto mantissa = fxsave_field<uint64_t>(state, at);
  const unsigned exponent = fxsave_field<uint16_t>(state, at + 8) & 0x7fffU;
  constexpr uint64_t kIntegerBit = uint64_t{1} << 63;
  if (exponent == 0 && mantissa == 0) return 1;
  return exponent == 0 || exponent == 0x7fff || (mantissa & kIntegerBit) == 0 ? 2 : 0;
}

uint32_t full_tag_word(const GuestState& state) {
  const unsigned top = (fxsave_field<uint16_t>(state, kFsw) >> 11) & 7U;
  uint32_t word = 0;
  for (unsigned i = 0; i < kX87Registers; ++i) {
    const bool used = (state.fxsave[kFtw] >> i & 1) != 0;
    const unsigned tag = used ? tag_of(state, kSt + kSlot * ((i - top) & 7U)) : kTagEmpty;
    word |= tag << (2 * i);
  }
  return word;
}

}  // namespace

uint32_t x87_state(const GuestState& state, X87Field which) {
  switch (which) {
    case X87Field::Control:
      return fxsave_field<uint16_t>(state, kFcw);
    case X87Field::Status:
      return fxsave_field<uint16_t>(state, kFsw);
    case X87Field::Tag:
      return full_tag_word(state);
    case X87Field::CodeSegment:
      return fxsave_field<uint16_t>(state, kFcs);
    case X87Field::Ip:
      return fxsave_field<uint32_t>(state, kFip);
    case X87Field::DataSegment:
      return fxsave_field<uint16_t>(state, kFds);
    case X87Field::Dp:
      return fxsave_field<uint32_t>(state, kFdp);
    case X87Field::Opcode:
      return fxsave_field<uint16_t>(state, kFop);
  }
  UNREACHABLE();
}

void set_x87_state(GuestState* state, X87Field which, uint32_t value) {
  const auto low = static_cast<uint16_t>(value);
  switch (which) {
    case X87Field::Control:
      return set_fxsave_field(state, kFcw, low);
    case X87Field::Status:
      return set_fxsave_field(state, kFsw, low);
    case X87Field::Tag: {
      uint8_t used = 0;
      for (unsigned i = 0; i < kX87Registers; ++i) {
        if ((value >> (2 * i) & 3U) != kTagEmpty) used = static_cast<uint8_t>(used | 1U << i);
      }
      return set_fxsave_field(state, kFtw, used);
    }
    case X87Field::CodeSegment:
      return set_fxsave_field(state, kFcs, low);
    case X87Field::Ip:
      return set_fxsave_field(state, kFip, value);
    case X87Field::DataSegment:
      return set_fxsave_field(state, kFds, low);
    case X87Field::Dp:
      return set_fxsave_field(state, kFdp, value);
    case X87Field::Opcode:
      return set_fxsave_field(state, kFop, low);
  }
}

}  // namespace ringshift::debug

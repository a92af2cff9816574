// Decode: guest bytes -> GuestInstruction. The only door to the disassembler library. Features the
// guest's processor lacks are decoded as that processor would (LZCNT is BSR...). See SDM 2A chapter
// 2 and appendix A.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ringshift {

// CS.D decides between 32 and 16 bits, in every mode. Real mode has its own entry because a few
// opcodes (ARPL, LAR...) do not exist there.
enum class DecodeMode : uint8_t { Bits32, Bits16, Real16 };

enum class DecodeOutcome : uint8_t {
  Ok,
  NeedMoreBytes,  // the span ends inside the instruction; it holds fewer than 15 bytes
  Invalid,        // #UD
  TooLong,        // more than 15 bytes: #GP(0)
};

inline constexpr size_t kMaxInstructionBytes = 15;

struct GuestInstruction {
  ZydisDecodedInstruction facts{};
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
  // The guest's own, `length` of them. Undocumented aliases (82 /n, F6 /1, C0 /6, D9 D8...) are
  // accepted as the processor accepts them; 82 /n does not exist in 64-bit code.
  std::array<uint8_t, 16> bytes{};
  uint8_t length = 0;
};

[[nodiscard]] DecodeOutcome decode(std::span<const uint8_t> bytes, DecodeMode mode,
                                   GuestInstruction* out);

// Without the operands, in half the time. False if it is no instruction, or does not end in
// `bytes`.
[[nodiscard]] bool decode_facts(std::span<const uint8_t> bytes, DecodeMode mode,
                                ZydisDecodedInstruction* out);

}  // namespace ringshift

// Reencode: the bytes of a guest instruction as 64-bit host code, with its operands where we keep
// them. Guest ESP becomes R15 wherever it is a register operand; a memory operand becomes whatever
// HostMemory the caller prepared. See docs/translator.md, "re-encoding".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "translator/translation_unit.h"

namespace ringshift {

// [base + index * 2^scale + displacement] in host registers, by encoding number.
struct HostMemory {
  std::optional<unsigned> base;
  std::optional<unsigned> index;  // never 4
  unsigned scale = 0;             // log2
  int32_t displacement = 0;
};

struct HostBytes {
  std::array<uint8_t, 24> bytes{};
  uint8_t length = 0;
  void push(unsigned byte) { bytes[length++] = static_cast<uint8_t>(byte); }
  void push32(uint32_t value);
  [[nodiscard]] std::span<const uint8_t> span() const { return {bytes.data(), length}; }
};

// memory: replaces the instruction's memory operand (or LEA's address); null if it has none.
// substitute_low: emit AL/CL/DL/BL where the instruction has AH/CH/DH/BH as its ModRM register.
// Returns nothing when 64-bit code cannot express it (a high-byte register beside a REX prefix).
[[nodiscard]] std::optional<HostBytes> reencode(const UnitInstruction& unit_instruction,
                                                const HostMemory* memory,
                                                bool substitute_low = false);

// LEA r32, [memory], for the host register of that encoding number.
[[nodiscard]] HostBytes encode_load_address(unsigned reg, const HostMemory& memory);

// The ModRM register operand is AH, CH, DH or BH: its number (0-3), if so.
[[nodiscard]] std::optional<unsigned> high_byte_register(const GuestInstruction& instruction);

}  // namespace ringshift

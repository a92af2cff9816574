// Disassemble: guest and host instructions as text, for dumps and messages; nothing runs on it.
// Host operands in the vCPU frame come out by name. See SDM 2A 2.1.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "shadowmmu/base/address.h"
#include "translator/decode.h"

namespace ringshift {

// Intel syntax, branch destinations as addresses. Pre: instruction was decoded from bytes at eip.
[[nodiscard]] std::string disassemble_guest(const GuestInstruction& instruction, Eip eip);

struct HostInstruction {
  uint8_t length = 0;  // 0: not an instruction
  std::string text;
  // For a relative branch: the offset of its destination, counted like `offset`, and the text
  // without it.
  std::optional<int64_t> destination;
  std::string branch;
};

// The instruction at bytes[offset], which is 64-bit code as the translator emits it.
[[nodiscard]] HostInstruction disassemble_host(std::span<const uint8_t> bytes, size_t offset);

}  // namespace ringshift

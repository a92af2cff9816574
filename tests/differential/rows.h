// Rows: the encodings that random unprivileged code is made of. Owns: a constant table. Encodings:
// SDM 2A 2.1 and appendix A.
#pragma once

#include <cstdint>
#include <vector>

namespace ringshift::differential {

enum class RowModRm : uint8_t { None, Any, MemoryOnly, RegisterOnly };
enum class RowImmediate : uint8_t { None, Byte, Word, BySize, Enter, Offset };

struct Row {
  std::vector<uint8_t> opcode;
  uint8_t mandatory_prefix = 0;
  RowModRm modrm = RowModRm::None;
  int8_t digit = -1;  // ModRM.reg; -1: any
  RowImmediate immediate = RowImmediate::None;
  bool register_in_opcode = false;
  bool word = false;  // an operand-size prefix makes another instruction of it
  bool lockable = false;
  bool repeatable = false;
  bool bit_string = false;  // a register bit offset moves the address
  bool aligned = false;     // SSE: a misaligned operand is #GP
  bool vex = false;         // a three-byte VEX prefix; the opcode is in map 0F38
};

// A family is chosen first, then a row: rare families are not drowned by large ones.
struct RowFamily {
  const char* name;
  uint32_t weight;
  std::vector<Row> rows;
};

[[nodiscard]] const std::vector<RowFamily>& row_families();

}  // namespace ringshift::differential

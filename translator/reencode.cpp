#include "translator/reencode.h"

#include "shadowmmu/base/check.h"
#include "translator/host_registers.h"
#include "translator/significant_prefixes.h"

namespace ringshift {
namespace {

constexpr unsigned kRexBase = 0x40;
constexpr unsigned kRexB = 1, kRexX = 2, kRexR = 4;

bool is_wide_gpr(ZydisRegister reg) {
  const ZydisRegisterClass register_class = ZydisRegisterGetClass(reg);
  return register_class == ZYDIS_REGCLASS_GPR16 || register_class == ZYDIS_REGCLASS_GPR32;
}

bool is_high_byte(ZydisRegister reg) {
  return reg == ZYDIS_REGISTER_AH || reg == ZYDIS_REGISTER_CH || reg == ZYDIS_REGISTER_DH ||
         reg == ZYDIS_REGISTER_BH;
}

const ZydisDecodedOperand* register_operand(const GuestInstruction& instruction,
                                            ZydisOperandEncoding encoding) {
  for (uint8_t i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && operand.encoding == encoding) {
      return &operand;
    }
  }
  return nullptr;
}

// The encoder's working state: prefixes are fixed at once; REX and ModRM are put together at the
// end.
struct Pieces {
  unsigned rex = 0;
  std::array<uint8_t, 3> opcode{};
  unsigned opcode_length = 0;
  bool has_modrm = false;
  unsigned reg = 0;  // ModRM.reg, low three bits
  bool forbids_rex = false;
};

void set_opcode(const ZydisDecodedInstruction& facts, Pieces* pieces) {
  auto add = [pieces](unsigned byte) {
    pieces->opcode[pieces->opcode_length++] = static_cast<uint8_t>(byte);
  };
  switch (facts.opcode_map) {
    case ZYDIS_OPCODE_MAP_0F:
      add(0x0f);
      break;
    case ZYDIS_OPCODE_MAP_0F38:
      add(0x0f);
      add(0x38);
      break;
    case ZYDIS_OPCODE_MAP_0F3A:
      add(0x0f);
      add(0x3a);
      break;
    default:
      break;
  }
  add(facts.opcode);
}

// Forms that 64-bit mode took away or changed: INC/DEC by opcode (REX now), absolute-offset moves.
void replace_lost_forms(const GuestInstruction& instruction, Pieces* pieces) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  if (facts.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return;
  const unsigned opcode = facts.opcode;
  if (opcode >= 0x40 && opcode <= 0x4f) {
    const unsigned number = host::of_guest(opcode & 7);
    pieces->opcode[0] = 0xff;
    pieces->has_modrm = true;
    pieces->reg = opcode >= 0x48 ? 1 : 0;
    if (number >= 8) pieces->rex |= kRexB;
  } else if (opcode >= 0xa0 && opcode <= 0xa3) {
    constexpr std::array<uint8_t, 4> kMove = {0x8a, 0x8b, 0x88, 0x89};
    pieces->opcode[0] = kMove[opcode - 0xa0];
    pieces->has_modrm = true;
    pieces->reg = 0;  // AL, AX or EAX
  }
}

void map_opcode_register(const GuestInstruction& instruction, Pieces* pieces) {
  const ZydisDecodedOperand* operand = register_operand(instruction, ZYDIS_OPERAND_ENCODING_OPCODE);
  if (operand == nullptr || pieces->has_modrm) return;
  uint8_t& opcode = pieces->opcode[pieces->opcode_length - 1];
  if (is_wide_gpr(operand->reg.value)) {
    const unsigned number = host::of_guest(opcode & 7);
    opcode = static_cast<uint8_t>((opcode & ~7U) | (number & 7));
    if (number >= 8) pieces->rex |= kRexB;
  } else if (is_high_byte(operand->reg.value)) {
    pieces->forbids_rex = true;
  }
}

void map_modrm_register(const GuestInstruction& instruction, bool substitute_low, Pieces* pieces) {
  pieces->has_modrm = true;
  pieces->reg = instruction.facts.raw.modrm.reg;
  const ZydisDecodedOperand* operand =
      register_operand(instruction, ZYDIS_OPERAND_ENCODING_MODRM_REG);
  if (operand == nullptr) return;
  if (is_wide_gpr(operand->reg.value)) {
    const unsigned number = host::of_guest(pieces->reg);
    pieces->reg = number & 7;
    if (number >= 8) pieces->rex |= kRexR;
  } else if (is_high_byte(operand->reg.value)) {
    if (substitute_low) {
      pieces->reg -= 4;
    } else {
      pieces->forbids_rex = true;
    }
  }
}

// Register form: rm is a register.
unsigned map_rm_register(const GuestInstruction& instruction, Pieces* pieces) {
  unsigned rm = instruction.facts.raw.modrm.rm;
  const ZydisDecodedOperand* operand =
      register_operand(instruction, ZYDIS_OPERAND_ENCODING_MODRM_RM);
  if (operand == nullptr) return rm;
  if (is_wide_gpr(operand->reg.value)) {
    const unsigned number = host::of_guest(rm);
    rm = number & 7;
    if (number >= 8) pieces->rex |= kRexB;
  } else if (is_high_byte(operand->reg.value)) {
    pieces->forbids_rex = true;
  }
  return rm;
}

void push_prefixes(const UnitInstruction& instruction, HostBytes* out) {
  const SignificantPrefixes prefixes = significant_prefixes(instruction.instruction.facts);
  if (prefixes.lock) out->push(0xf0);
  if (prefixes.repeat != 0 && !instruction.ignores_repeat) out->push(prefixes.repeat);
  if (prefixes.operand_size != instruction.inverts_operand_size) out->push(0x66);
}

void push_memory(const HostMemory& memory, unsigned reg, HostBytes* out) {
  const bool short_displacement = memory.displacement >= -128 && memory.displacement <= 127;
  const unsigned base_low = memory.base ? (*memory.base & 7) : 5;
  // Without a base: mod 0 with SIB base 5 means disp32 alone. RBP/R13 cannot go without a
  // displacement.
  unsigned mod = 0;
  if (memory.base) {
    if (memory.displacement != 0 || base_low == 5) mod = short_displacement ? 1 : 2;
  }
  const bool needs_sib = memory.index.has_value() || base_low == 4 || !memory.base;
  out->push((mod << 6) | ((reg & 7) << 3) | (needs_sib ? 4 : base_low));
  if (needs_sib) {
    const unsigned index_low = memory.index ? (*memory.index & 7) : 4;
    out->push((memory.scale << 6) | (index_low << 3) | base_low);
  }
  if (mod == 1) {
    out->push(static_cast<uint8_t>(memory.displacement));
  } else if (mod == 2 || !memory.base) {
    out->push32(static_cast<uint32_t>(memory.displacement));
  }
}

void push_immediates(const GuestInstruction& instruction, HostBytes* out) {
  for (const auto& imm : instruction.facts.raw.imm) {
    for (unsigned i = 0; i < imm.size / 8U; ++i) out->push(instruction.bytes[imm.offset + i]);
  }
}

}  // namespace

void HostBytes::push32(uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) push((value >> (8 * i)) & 0xff);
}

HostBytes encode_load_address(unsigned reg, const HostMemory& memory) {
  HostBytes out;
  const unsigned rex = (reg >= 8 ? kRexR : 0U) | (memory.base.value_or(0) >= 8 ? kRexB : 0U) |
                       (memory.index.value_or(0) >= 8 ? kRexX : 0U);
  if (rex != 0) out.push(kRexBase | rex);
  out.push(0x8d);
  push_memory(memory, reg, &out);
  return out;
}

std::optional<unsigned> high_byte_register(const GuestInstruction& instruction) {
  const ZydisDecodedOperand* operand =
      register_operand(instruction, ZYDIS_OPERAND_ENCODING_MODRM_REG);
  if (operand == nullptr || !is_high_byte(operand->reg.value)) return std::nullopt;
  return instruction.facts.raw.modrm.reg - 4U;
}

std::optional<HostBytes> reencode(const UnitInstruction& unit_instruction, const HostMemory* memory,
                                  bool substitute_low) {
  const GuestInstruction& instruction = unit_instruction.instruction;
  const ZydisDecodedInstruction& facts = instruction.facts;
  Pieces pieces;
  set_opcode(facts, &pieces);
  const bool guest_modrm = (facts.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
  unsigned rm = 0;
  if (guest_modrm) {
    map_modrm_register(instruction, substitute_low, &pieces);
    if (memory == nullptr) rm = map_rm_register(instruction, &pieces);
  } else {
    replace_lost_forms(instruction, &pieces);
    map_opcode_register(instruction, &pieces);
    if (pieces.has_modrm) rm = host::of_guest(facts.opcode & 7) & 7;
  }
  if (memory != nullptr) {
    if (memory->base.value_or(0) >= 8) pieces.rex |= kRexB;
    if (memory->index.value_or(0) >= 8) pieces.rex |= kRexX;
  }
  if (pieces.rex != 0 && pieces.forbids_rex) return std::nullopt;

  HostBytes out;
  push_prefixes(unit_instruction, &out);
  if (pieces.rex != 0) out.push(kRexBase | pieces.rex);
  for (unsigned i = 0; i < pieces.opcode_length; ++i) out.push(pieces.opcode[i]);
  if (memory != nullptr) {
    push_memory(*memory, pieces.reg, &out);
  } else if (pieces.has_modrm) {
    out.push(0xc0U | (pieces.reg << 3) | rm);
  }
  push_immediates(instruction, &out);
  return out;
}

}  // namespace ringshift

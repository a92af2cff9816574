// Interpreter: from a decoded instruction to an Operation: handler, operands, effective address
// recipe. See SDM 2A chapter 2 (ModRM, SIB, default segments).
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

// Base and index of the 16-bit forms, by ModRM.rm (SDM 2A table 2-1).
struct WordForm {
  uint8_t base;
  uint8_t index;
};
constexpr uint8_t kBx = 3;
constexpr uint8_t kBp = 5;
constexpr uint8_t kSi = 6;
constexpr uint8_t kDi = 7;
constexpr std::array<WordForm, 8> kWordForms = {{{kBx, kSi},
                                                 {kBx, kDi},
                                                 {kBp, kSi},
                                                 {kBp, kDi},
                                                 {kSi, kNoRegister},
                                                 {kDi, kNoRegister},
                                                 {kBp, kNoRegister},
                                                 {kBx, kNoRegister}}};

void prepare_address_16(const ZydisDecodedInstruction& facts, Operation* op) {
  const auto& modrm = facts.raw.modrm;
  if (modrm.mod == 0 && modrm.rm == 6) return;  // displacement only
  op->base = kWordForms[modrm.rm].base;
  op->index = kWordForms[modrm.rm].index;
}

void prepare_address_32(const ZydisDecodedInstruction& facts, Operation* op) {
  const auto& modrm = facts.raw.modrm;
  if (modrm.rm != 4) {
    if (modrm.mod != 0 || modrm.rm != 5) op->base = modrm.rm;
    return;
  }
  const auto& sib = facts.raw.sib;
  if (modrm.mod != 0 || sib.base != 5) op->base = sib.base;
  if (sib.index != 4) {
    op->index = sib.index;
    // Zydis gives the two bits of the SIB byte.
    op->scale_shift = sib.scale;
  }
}

// Addresses that use (E)BP or ESP as their base default to the stack segment.
SegmentRegister default_segment(const Operation& op) {
  const bool stack = op.base == static_cast<uint8_t>(Gpr::Ebp) ||
                     (!op.address_16 && op.base == static_cast<uint8_t>(Gpr::Esp));
  return stack ? SegmentRegister::Ss : SegmentRegister::Ds;
}

struct Prefixes {
  bool operand_size = false;
  bool lock = false;
  Repeat repeat = Repeat::None;
  bool has_segment = false;
  SegmentRegister segment = SegmentRegister::Ds;
};

// The last prefix of a group wins.
Prefixes prefixes_of(const ZydisDecodedInstruction& facts) {
  Prefixes result;
  const auto set_segment = [&result](SegmentRegister segment) {
    result.has_segment = true;
    result.segment = segment;
  };
  for (unsigned i = 0; i < facts.raw.prefix_count; ++i) {
    switch (facts.raw.prefixes[i].value) {
      case 0x66:
        result.operand_size = true;
        break;
      case 0xf0:
        result.lock = true;
        break;
      case 0xf2:
        result.repeat = Repeat::WhileNotEqual;
        break;
      case 0xf3:
        result.repeat = Repeat::WhileEqual;
        break;
      case 0x26:
        set_segment(SegmentRegister::Es);
        break;
      case 0x2e:
        set_segment(SegmentRegister::Cs);
        break;
      case 0x36:
        set_segment(SegmentRegister::Ss);
        break;
      case 0x3e:
        set_segment(SegmentRegister::Ds);
        break;
      case 0x64:
        set_segment(SegmentRegister::Fs);
        break;
      case 0x65:
        set_segment(SegmentRegister::Gs);
        break;
      default:
        break;
    }
  }
  return result;
}

bool has_modrm(const ZydisDecodedInstruction& facts) {
  return (facts.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
}

// MOV to and from control and debug registers take ModRM.mod as 3 whatever it says (SDM 2B MOV).
bool ignores_mod(const ZydisDecodedInstruction& facts) {
  return facts.opcode_map == ZYDIS_OPCODE_MAP_0F && facts.opcode >= 0x20 && facts.opcode <= 0x23;
}

void prepare_operands(const ZydisDecodedInstruction& facts, Operation* op) {
  op->displacement = static_cast<uint32_t>(facts.raw.disp.value);
  op->immediate = static_cast<uint32_t>(facts.raw.imm[0].value.u);
  op->immediate2 = static_cast<uint32_t>(facts.raw.imm[1].value.u);
  if (!has_modrm(facts)) {
    op->rm = facts.opcode & 7U;
    if (op->address_16) op->displacement &= 0xffffU;  // MOV with an absolute offset
    return;
  }
  op->reg = facts.raw.modrm.reg;
  op->rm = facts.raw.modrm.rm;
  op->is_memory = facts.raw.modrm.mod != 3 && !ignores_mod(facts);
  if (!op->is_memory) return;
  if (op->address_16) {
    prepare_address_16(facts, op);
  } else {
    prepare_address_32(facts, op);
  }
}

// ---- Operation::is_plain, by family ----

bool always(const Encoding&) { return true; }
bool never(const Encoding&) { return false; }

// Jumps, calls and returns within the segment.
bool stays_in_segment(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_0F || (e.opcode & 0xf0U) == 0x70) return true;  // conditional jumps
  switch (e.opcode) {
    case 0xc2:
    case 0xc3:
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe8:
    case 0xe9:
    case 0xeb:
      return true;
    case 0xff:
      return e.reg == 2 || e.reg == 4;
    default:
      return false;
  }
}

bool loads_no_flags(const Encoding& e) { return e.opcode != 0x9d; }

// INS and OUTS are port accesses, and repeated ones take as many steps as it pleases them.
bool is_one_move(const Encoding& e) { return e.repeat == Repeat::None && e.opcode > 0x6f; }

Handler select_handler(const Encoding& encoding, Operation* operation) {
  struct HandlerFamily {
    Handler (*select)(const Encoding&);
    bool (*is_plain)(const Encoding&);
  };
  constexpr HandlerFamily kFamilies[] = {
      {select_arithmetic, always},    {select_move, always},     {select_control, stays_in_segment},
      {select_stack, loads_no_flags}, {select_shift, always},    {select_string, is_one_move},
      {select_bits, always},          {select_multiply, always}, {select_decimal, always},
      {select_segment, never},        {select_system, never}};
  // MMX and SSE share opcodes with nobody, but for 0F AE and 0F C7, which the others refuse first.
  for (const HandlerFamily& family : kFamilies) {
    const Handler handler = family.select(encoding);
    if (handler == nullptr) continue;
    operation->is_plain = family.is_plain(encoding);
    return handler;
  }
  return select_fpu(encoding, operation);
}

}  // namespace

MaybeFault undefined_opcode(Execution&, const Operation&) { return GuestFault::invalid_opcode(); }

void prepare_operation(const GuestInstruction& instruction, DecodeMode mode, const CpuModel& model,
                       Operation* operation) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  const Prefixes prefixes = prefixes_of(facts);
  *operation = Operation{};
  operation->bytes = instruction.bytes;
  operation->mode = mode;
  operation->length = instruction.length;
  operation->opcode = facts.opcode;
  operation->operand_bytes = (mode == DecodeMode::Bits32) != prefixes.operand_size ? 4 : 2;
  operation->address_16 = facts.address_width == 16;
  operation->repeat = prefixes.repeat;
  operation->event = event_rule(instruction);
  prepare_operands(facts, operation);
  operation->segment = prefixes.has_segment ? prefixes.segment : default_segment(*operation);
  operation->handler = undefined_opcode;
  // EVEX, XOP, 3DNow! and VEX but for BMI1 belong to processors that the guest does not have.
  const bool vex = facts.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
  if (facts.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !vex) return;
  // Three bits outside 64-bit mode; they are stored inverted (SDM 2A 2.3.5.6).
  if (vex) operation->vvvv = ~facts.raw.vex.vvvv & 7U;
  // LOCK MOV CR0 is another vendor's name for CR8.
  if (prefixes.lock && ignores_mod(facts)) return;
  const Encoding encoding{instruction,         model,
                          facts.opcode_map,    facts.opcode,
                          facts.raw.modrm.mod, facts.raw.modrm.reg,
                          facts.raw.modrm.rm,  operation->operand_bytes,
                          prefixes.repeat,     prefixes.operand_size};
  const Handler handler = vex ? select_bmi1(encoding) : select_handler(encoding, operation);
  if (handler != nullptr) operation->handler = handler;
}

}  // namespace ringshift::interp

// Classify, second part: code whose segments are not flat, and code of 16 bits.
#include "translator/classify.h"

namespace ringshift {
namespace {

constexpr Classification kInterpret{};

bool has_prefix(const ZydisDecodedInstruction& facts, uint8_t wanted) {
  for (uint8_t i = 0; i < facts.raw.prefix_count; ++i) {
    if (facts.raw.prefixes[i].value == wanted) return true;
  }
  return false;
}

bool is_repeated(const ZydisDecodedInstruction& facts) {
  return has_prefix(facts, 0xf2) || has_prefix(facts, 0xf3);
}

bool may_access(const CodeMode& mode, const ZydisDecodedOperand& operand, bool is_write) {
  return mode.may_access(segment_of(operand.mem.segment), is_write);
}

bool writes(const ZydisDecodedOperand& operand) {
  return (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

// BT and its kind with an offset in a register reach beyond their operand.
bool reaches_beyond(const GuestInstruction& instruction) {
  switch (instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return instruction.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    default:
      return false;
  }
}

Classification plain(const GuestInstruction& instruction, const CodeMode& mode) {
  constexpr uint32_t kMostBits = 128;
  for (uint8_t i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        operand.visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
      return kInterpret;
    }
  }
  // BSWAP of 16 bits is undefined; the interpreter has its own idea of that.
  if (instruction.facts.mnemonic == ZYDIS_MNEMONIC_BSWAP && instruction.facts.operand_width == 16) {
    return kInterpret;
  }
  const ZydisDecodedOperand* memory = memory_operand(instruction);
  if (memory == nullptr) return {Treatment::Identical, Family::Reencode};
  if (memory->mem.type == ZYDIS_MEMOP_TYPE_AGEN) return {Treatment::Identical, Family::Lea};
  const SegmentKind kind = mode.kind(segment_of(memory->mem.segment));
  const bool is_usual = kind == SegmentKind::Flat && instruction.facts.address_width == 32;
  if (!is_usual && (reaches_beyond(instruction) || memory->size == 0 || memory->size > kMostBits)) {
    return kInterpret;
  }
  if (!may_access(mode, *memory, writes(*memory))) return kInterpret;
  return {Treatment::Memory, Family::Reencode};
}

// MOVS, CMPS, STOS, LODS, SCAS, whose segments are operands like others. Repeated ones only if they
// are the same as in the usual mode: the interpreter does the others in batches.
Classification string(const GuestInstruction& instruction, const CodeMode& mode) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  if (facts.meta.category != ZYDIS_CATEGORY_STRINGOP) return kInterpret;
  bool is_usual = facts.address_width == 32;
  for (uint8_t i = 0; i < facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    if (!may_access(mode, operand, writes(operand))) return kInterpret;
    is_usual = is_usual && mode.kind(segment_of(operand.mem.segment)) == SegmentKind::Flat;
  }
  if (is_repeated(facts) && (!is_usual || mode.has_narrow_code())) return kInterpret;
  return {Treatment::Memory, Family::String};
}

bool is_push_or_pop_of_flags(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_PUSHF || mnemonic == ZYDIS_MNEMONIC_PUSHFD ||
         mnemonic == ZYDIS_MNEMONIC_POPF || mnemonic == ZYDIS_MNEMONIC_POPFD;
}

// PUSH, POP, CALL, JMP: an operand in memory is reached like any other.
bool may_access_operand(const GuestInstruction& instruction, const CodeMode& mode, bool is_write) {
  const ZydisDecodedOperand& operand = instruction.operands[0];
  return operand.type != ZYDIS_OPERAND_TYPE_MEMORY || may_access(mode, operand, is_write);
}

Classification push_or_pop(const GuestInstruction& instruction, Classification listed,
                           const CodeMode& mode) {
  const ZydisDecodedOperand& operand = instruction.operands[0];
  const bool is_narrow = has_narrow_operands(instruction.facts, mode.has_narrow_code());
  if (listed.family == Family::Pop) {
    if (!may_access_operand(instruction, mode, true)) return kInterpret;
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
      return operand.mem.base == ZYDIS_REGISTER_ESP ? kInterpret : listed;
    }
    switch (ZydisRegisterGetClass(operand.reg.value)) {
      case ZYDIS_REGCLASS_GPR16:
      case ZYDIS_REGCLASS_GPR32:
        // POP to (E)SP is a story of its own.
        return ZydisRegisterGetId(operand.reg.value) == 4 ? kInterpret : listed;
      default:
        return is_narrow && loads_by_selector(mode, operand.reg.value)
                   ? Classification{Treatment::Inline, Family::LoadSegment}
                   : kInterpret;
    }
  }
  if (!may_access_operand(instruction, mode, false)) return kInterpret;
  if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
      ZydisRegisterGetClass(operand.reg.value) == ZYDIS_REGCLASS_SEGMENT) {
    return is_narrow || mode.has_plain_stack()
               ? Classification{Treatment::Inline, Family::PushSelector}
               : kInterpret;
  }
  return listed;
}

bool loads_pointer(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_LDS || mnemonic == ZYDIS_MNEMONIC_LES ||
         mnemonic == ZYDIS_MNEMONIC_LFS || mnemonic == ZYDIS_MNEMONIC_LGS;
}

bool may_load_pointer(const GuestInstruction& instruction, const CodeMode& mode) {
  const SegmentRegister segment = pointer_segment(instruction.facts.mnemonic);
  return (loads_by_selector(mode, segment) || loads_by_descriptor(mode, segment)) &&
         has_narrow_operands(instruction.facts, mode.has_narrow_code()) &&
         may_access(mode, instruction.operands[1], false) &&
         is_in_one_piece(instruction, instruction.operands[1], mode);
}

}  // namespace

SegmentRegister segment_of(ZydisRegister reg) {
  switch (reg) {
    case ZYDIS_REGISTER_ES:
      return SegmentRegister::Es;
    case ZYDIS_REGISTER_CS:
      return SegmentRegister::Cs;
    case ZYDIS_REGISTER_SS:
      return SegmentRegister::Ss;
    case ZYDIS_REGISTER_FS:
      return SegmentRegister::Fs;
    case ZYDIS_REGISTER_GS:
      return SegmentRegister::Gs;
    default:
      return SegmentRegister::Ds;
  }
}

// For these kinds the segment's limit, or the check of it, ends before the addresses wrap.
bool is_in_one_piece(const GuestInstruction& instruction, const ZydisDecodedOperand& pointer,
                     const CodeMode& mode) {
  const SegmentKind kind = mode.kind(segment_of(pointer.mem.segment));
  return instruction.facts.address_width == 32 || kind == SegmentKind::Large ||
         kind == SegmentKind::Checked;
}

SegmentRegister pointer_segment(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_LES:
      return SegmentRegister::Es;
    case ZYDIS_MNEMONIC_LFS:
      return SegmentRegister::Fs;
    case ZYDIS_MNEMONIC_LGS:
      return SegmentRegister::Gs;
    default:
      return SegmentRegister::Ds;
  }
}

bool loads_by_selector(const CodeMode& mode, ZydisRegister reg) {
  return loads_by_selector(mode, segment_of(reg));
}

bool loads_by_selector(const CodeMode& mode, SegmentRegister segment) {
  return mode.has_real_selectors() && segment != SegmentRegister::Cs &&
         segment != SegmentRegister::Ss && mode.kind(segment) != SegmentKind::Odd;
}

bool loads_by_descriptor(const CodeMode& mode, SegmentRegister segment) {
  return !mode.has_real_selectors() && segment != SegmentRegister::Cs &&
         segment != SegmentRegister::Ss && mode.kind(segment) != SegmentKind::Down;
}

bool has_narrow_operands(const ZydisDecodedInstruction& facts, bool narrow_code) {
  return has_prefix(facts, 0x66) != narrow_code;
}

Classification classify_in_mode(const GuestInstruction& instruction, Classification listed,
                                Privilege privilege, const CodeMode& mode) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  if (facts.meta.category == ZYDIS_CATEGORY_STRINGOP ||
      facts.meta.category == ZYDIS_CATEGORY_IOSTRINGOP) {
    return string(instruction, mode);
  }
  if (loads_pointer(facts.mnemonic)) {
    return may_load_pointer(instruction, mode)
               ? Classification{Treatment::Inline, Family::LoadPointer}
               : kInterpret;
  }
  if (facts.mnemonic == ZYDIS_MNEMONIC_JCXZ) return {Treatment::DirectBranch, Family::LoopBranch};
  const bool has_stack = mode.may_access(SegmentRegister::Ss, true);
  if (is_push_or_pop_of_flags(facts.mnemonic)) {
    // In virtual-8086 mode IOPL is asked first.
    if (!has_stack || mode.is_virtual_8086()) return kInterpret;
    const bool pushes =
        facts.mnemonic == ZYDIS_MNEMONIC_PUSHF || facts.mnemonic == ZYDIS_MNEMONIC_PUSHFD;
    return {Treatment::Inline, pushes ? Family::PushFlags : Family::PopFlags};
  }
  if (listed.family == Family::Interpret || listed.family == Family::Callout ||
      facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
    return kInterpret;
  }
  switch (listed.family) {
    case Family::Push:
    case Family::Pop:
      return has_stack ? push_or_pop(instruction, listed, mode) : kInterpret;
    case Family::Leave:
    case Family::Return:
      return has_stack ? listed : kInterpret;
    case Family::InterruptFlag:
    case Family::ClearTaskSwitched:
    case Family::FlushCaches:
      return privilege == Privilege::Supervisor ? listed : kInterpret;
    case Family::LoadTable:
      return loads_table_inline(instruction, privilege, mode) ? listed : kInterpret;
    case Family::Call:
      if (!has_stack) return kInterpret;
      [[fallthrough]];
    case Family::Jump: {
      if (!may_access_operand(instruction, mode, false)) return kInterpret;
      const bool direct = instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
      return {direct ? Treatment::DirectBranch : Treatment::IndirectBranch, listed.family};
    }
    case Family::Reencode:
      return plain(instruction, mode);
    default:
      return listed;
  }
}

}  // namespace ringshift

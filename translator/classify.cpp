#include "translator/classify.h"

#include <algorithm>
#include <bit>

namespace ringshift {
namespace {

enum class IsaGroup : uint8_t { Integer, X87, SseBase, SseLater, Bmi1, Unknown };

IsaGroup isa_group(ZydisISASet set) {
  switch (set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_I286REAL:
    case ZYDIS_ISA_SET_I286PROTECTED:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_LAHF:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
    case ZYDIS_ISA_SET_CLFSH:
      return IsaGroup::Integer;
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_PENTIUMMMX:
      return IsaGroup::X87;
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
      return IsaGroup::SseBase;
    case ZYDIS_ISA_SET_SSE_PREFETCH:
      return IsaGroup::Integer;
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_POPCNT:
      return IsaGroup::SseLater;
    case ZYDIS_ISA_SET_BMI1:  // without TZCNT, which arrives as BSF
      return IsaGroup::Bmi1;
    default:
      return IsaGroup::Unknown;
  }
}

Classification by_table(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
#define TREATMENT(name, treatment, family, why) \
  case ZYDIS_MNEMONIC_##name:                   \
    return {Treatment::treatment, Family::family};
#include "translator/treatment.def"
#undef TREATMENT
    default:
      return {Treatment::Identical, Family::Reencode};
  }
}

bool has_register_of(const GuestInstruction& instruction, ZydisRegisterClass register_class) {
  for (uint8_t i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
        operand.visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
        ZydisRegisterGetClass(operand.reg.value) == register_class) {
      return true;
    }
  }
  return false;
}

bool destination_is_gpr32(const GuestInstruction& instruction) {
  return instruction.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
         ZydisRegisterGetClass(instruction.operands[0].reg.value) == ZYDIS_REGCLASS_GPR32;
}

constexpr Classification kInterpret{};

// ES, DS, FS, GS: not SS, which holds off interrupts, and not CS, which is #UD.
bool is_data_segment(ZydisRegister reg) {
  return reg == ZYDIS_REGISTER_ES || reg == ZYDIS_REGISTER_DS || reg == ZYDIS_REGISTER_FS ||
         reg == ZYDIS_REGISTER_GS;
}

// Loads from a register or from memory that is not behind CS.
Classification classify_segment_load(const GuestInstruction& instruction) {
  constexpr Classification kLoad{Treatment::Inline, Family::LoadSegment};
  if (!is_data_segment(instruction.operands[0].reg.value)) return kInterpret;
  if (instruction.facts.mnemonic == ZYDIS_MNEMONIC_POP) {
    return instruction.facts.operand_width == 32 ? kLoad : kInterpret;
  }
  const ZydisDecodedOperand& source = instruction.operands[1];
  if (source.type == ZYDIS_OPERAND_TYPE_REGISTER) return kLoad;
  return instruction.facts.address_width == 32 && source.mem.segment != ZYDIS_REGISTER_CS
             ? kLoad
             : kInterpret;
}

// The breakpoints' addresses.
bool is_plain_debug_register(ZydisRegister reg) {
  return reg == ZYDIS_REGISTER_DR0 || reg == ZYDIS_REGISTER_DR1 || reg == ZYDIS_REGISTER_DR2 ||
         reg == ZYDIS_REGISTER_DR3;
}

// MOV to and from segment, control and debug registers share a mnemonic with plain MOV.
Classification classify_system_mov(const GuestInstruction& instruction, Privilege privilege,
                                   const CodeMode& mode) {
  if (has_register_of(instruction, ZYDIS_REGCLASS_SEGMENT)) {
    const ZydisDecodedOperand& destination = instruction.operands[0];
    if (destination.type != ZYDIS_OPERAND_TYPE_REGISTER) {
      const bool may_write = mode.is_flat()
                                 ? instruction.facts.address_width == 32 &&
                                       destination.mem.segment != ZYDIS_REGISTER_CS
                                 : mode.may_access(segment_of(destination.mem.segment), true);
      return may_write ? Classification{Treatment::Inline, Family::ReadSelector} : kInterpret;
    }
    return ZydisRegisterGetClass(destination.reg.value) == ZYDIS_REGCLASS_SEGMENT
               ? classify_segment_load(instruction)
               : Classification{Treatment::Inline, Family::ReadSelector};
  }
  if (has_register_of(instruction, ZYDIS_REGCLASS_CONTROL) && privilege == Privilege::Supervisor) {
    if (destination_is_gpr32(instruction)) return {Treatment::Inline, Family::ReadControl};
    switch (instruction.operands[0].reg.value) {
      case ZYDIS_REGISTER_CR0:  // TS alone, as a kernel does that switches the FPU lazily
        return {Treatment::Inline, Family::WriteCr0};
      case ZYDIS_REGISTER_CR2:  // holds any value and changes nothing
        return {Treatment::Inline, Family::WriteCr2};
      default:
        return kInterpret;
    }
  }
  if (has_register_of(instruction, ZYDIS_REGCLASS_CONTROL)) return kInterpret;
  if (privilege != Privilege::Supervisor) return kInterpret;
  // Debug registers, while none is enabled: their contents change nothing.
  if (destination_is_gpr32(instruction)) {
    return is_plain_debug_register(instruction.operands[1].reg.value) ||
                   instruction.operands[1].reg.value == ZYDIS_REGISTER_DR6 ||
                   instruction.operands[1].reg.value == ZYDIS_REGISTER_DR7
               ? Classification{Treatment::Inline, Family::ReadDebug}
               : kInterpret;
  }
  const ZydisRegister written = instruction.operands[0].reg.value;
  return is_plain_debug_register(written) || written == ZYDIS_REGISTER_DR7
             ? Classification{Treatment::Inline, Family::WriteDebug}
             : kInterpret;
}

bool is_system_mov(const GuestInstruction& instruction) {
  return instruction.facts.mnemonic == ZYDIS_MNEMONIC_MOV &&
         (has_register_of(instruction, ZYDIS_REGCLASS_SEGMENT) ||
          has_register_of(instruction, ZYDIS_REGCLASS_CONTROL) ||
          has_register_of(instruction, ZYDIS_REGCLASS_DEBUG));
}

// Far JMP, CALL and RET. A transfer through a gate, or to another ring, is recognized only after it
// has been done: user code may not read descriptor tables through its own window.
Classification classify_far_transfer(const GuestInstruction& instruction, Privilege privilege,
                                     const TranslatorFeatures& features, const CodeMode& mode) {
  constexpr uint32_t kRealLimit = 0xffff;
  const ZydisDecodedInstruction& facts = instruction.facts;
  const bool uses_stack = facts.mnemonic != ZYDIS_MNEMONIC_JMP;
  if (features.counts_events) return kInterpret;
  const bool is_narrow = has_narrow_operands(facts, mode.has_narrow_code());
  if (mode.has_real_selectors()) {
    const bool has_kept_cs = mode.kind(SegmentRegister::Cs) != SegmentKind::Odd;
    if (!is_narrow || mode.limit != kRealLimit || !has_kept_cs) return kInterpret;
  } else if (privilege != Privilege::Supervisor || (mode.is_flat() && is_narrow)) {
    return kInterpret;
  }
  if (uses_stack && !mode.may_access(SegmentRegister::Ss, true)) return kInterpret;
  const ZydisDecodedOperand* memory = memory_operand(instruction);
  const bool may_read =
      memory == nullptr ||
      (mode.is_flat() ? facts.address_width == 32 && memory->mem.segment != ZYDIS_REGISTER_CS
                      : mode.may_access(segment_of(memory->mem.segment), false) &&
                            is_in_one_piece(instruction, *memory, mode));
  return may_read ? Classification{Treatment::Inline, Family::FarTransfer} : kInterpret;
}

// String instructions through flat DS/ES with 32-bit addresses; INS and OUTS go to the port bus.
Classification classify_string(const GuestInstruction& instruction) {
  if (instruction.facts.meta.category != ZYDIS_CATEGORY_STRINGOP ||
      instruction.facts.address_width != 32) {
    return kInterpret;
  }
  if ((instruction.facts.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS |
                                       ZYDIS_ATTRIB_HAS_SEGMENT_CS)) != 0) {
    return kInterpret;
  }
  return {Treatment::Memory, Family::String};
}

bool has_hidden_memory(const GuestInstruction& instruction) {
  for (uint8_t i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        operand.visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
      return true;
    }
  }
  return false;
}

Classification classify_plain(const GuestInstruction& instruction) {
  if (has_hidden_memory(instruction)) return kInterpret;
  const ZydisDecodedOperand* memory = memory_operand(instruction);
  if (memory == nullptr) return {Treatment::Identical, Family::Reencode};
  if (memory->mem.type == ZYDIS_MEMOP_TYPE_AGEN) {
    return instruction.facts.address_width == 32 ? Classification{Treatment::Identical, Family::Lea}
                                                 : kInterpret;
  }
  if (instruction.facts.address_width != 32) return kInterpret;
  // Code segments are never writable, and need not be readable (SDM 3A 5.5).
  if (memory->mem.segment == ZYDIS_REGISTER_CS) return kInterpret;
  return {Treatment::Memory, Family::Reencode};
}

}  // namespace

// With 16-bit operands the base has 24 bits: left to the interpreter, as are pointers in CS.
bool loads_table_inline(const GuestInstruction& instruction, Privilege privilege,
                        const CodeMode& mode) {
  const ZydisDecodedOperand& source = instruction.operands[0];
  if (privilege != Privilege::Supervisor || source.mem.segment == ZYDIS_REGISTER_CS ||
      has_narrow_operands(instruction.facts, mode.has_narrow_code())) {
    return false;
  }
  if (mode.is_flat()) return instruction.facts.address_width == 32;
  return mode.may_access(segment_of(source.mem.segment), false);
}

namespace {

bool is_sixteen_bit_stack_or_branch(const GuestInstruction& instruction, Family family) {
  switch (family) {
    case Family::Push:
    case Family::Pop:
    case Family::Leave:
    case Family::Jump:
    case Family::Call:
    case Family::Return:
    case Family::JumpConditional:
    case Family::LoopBranch:
      return instruction.facts.operand_width == 16 || instruction.facts.address_width == 16;
    default:
      return false;
  }
}

}  // namespace

const char* treatment_name(Treatment treatment) {
  switch (treatment) {
    case Treatment::Identical:
      return "identical";
    case Treatment::Memory:
      return "memory";
    case Treatment::DirectBranch:
      return "direct-branch";
    case Treatment::IndirectBranch:
      return "indirect-branch";
    case Treatment::Inline:
      return "inline";
    case Treatment::Callout:
      return "callout";
    case Treatment::Interpret:
      return "interpret";
  }
  return "?";
}

const ZydisDecodedOperand* memory_operand(const GuestInstruction& instruction) {
  for (uint8_t i = 0; i < instruction.facts.operand_count_visible; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        operand.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
      return &operand;
    }
  }
  return nullptr;
}

bool converts_to_integer(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_CVTSS2SI:
    case ZYDIS_MNEMONIC_CVTTSS2SI:
    case ZYDIS_MNEMONIC_CVTSD2SI:
    case ZYDIS_MNEMONIC_CVTTSD2SI:
      return true;
    default:
      return false;
  }
}

bool guest_processor_has(const ZydisDecodedInstruction& facts, const TranslatorFeatures& features) {
  const IsaGroup group = isa_group(facts.meta.isa_set);
  if (group == IsaGroup::Bmi1) return features.tzcnt;
  if (facts.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return false;
  switch (group) {
    case IsaGroup::Unknown:
      return by_table(facts.mnemonic).treatment == Treatment::Callout;  // known by name
    case IsaGroup::SseLater:
      return features.sse2_and_later;
    default:
      return true;
  }
}

// Instructions of the processors that had their FPU beside them, without a look at their operands.
bool is_older_integer(ZydisISASet set) {
  return set == ZYDIS_ISA_SET_I86 || set == ZYDIS_ISA_SET_I186 || set == ZYDIS_ISA_SET_I386;
}

FpuUse fpu_use(const GuestInstruction& instruction) {
  if (is_older_integer(instruction.facts.meta.isa_set)) return FpuUse::None;
  // FCOMI and FUCOMI count as Pentium Pro integer set.
  if (has_register_of(instruction, ZYDIS_REGCLASS_X87)) return FpuUse::X87;
  // The decoder lists its 32-bit form under SSE3, without a register operand.
  if (instruction.facts.mnemonic == ZYDIS_MNEMONIC_FISTTP) return FpuUse::X87;
  // CRC32, MOVNTI, the fences, PREFETCH and the like belong to SSE sets but touch no FPU state.
  const bool touches_state = has_register_of(instruction, ZYDIS_REGCLASS_XMM) ||
                             has_register_of(instruction, ZYDIS_REGCLASS_MMX) ||
                             converts_to_integer(instruction.facts.mnemonic) ||
                             instruction.facts.mnemonic == ZYDIS_MNEMONIC_LDMXCSR ||
                             instruction.facts.mnemonic == ZYDIS_MNEMONIC_STMXCSR ||
                             instruction.facts.mnemonic == ZYDIS_MNEMONIC_EMMS;
  switch (isa_group(instruction.facts.meta.isa_set)) {
    case IsaGroup::X87:
      return FpuUse::X87;
    case IsaGroup::SseBase:
    case IsaGroup::SseLater:
      if (instruction.facts.meta.isa_set == ZYDIS_ISA_SET_SSE3X87) return FpuUse::X87;
      return touches_state ? FpuUse::Sse : FpuUse::None;
    default:
      return FpuUse::None;
  }
}

bool ignores_repeat(const ZydisDecodedInstruction& facts, const TranslatorFeatures& features) {
  const ZydisMnemonic mnemonic = facts.mnemonic;
  return mnemonic == ZYDIS_MNEMONIC_BSR || (mnemonic == ZYDIS_MNEMONIC_BSF && !features.tzcnt);
}

Eip branch_destination(const UnitInstruction& instruction) {
  const int64_t relative = instruction.instruction.operands[0].imm.value.s;
  const Eip destination = instruction.next_eip() + static_cast<uint32_t>(relative);
  return instruction.has_narrow_operands ? Eip(destination.value() & 0xffffU) : destination;
}

bool has_operand_size(const ZydisDecodedInstruction& facts) {
  return isa_group(facts.meta.isa_set) == IsaGroup::Integer && facts.operand_width != 8;
}

bool ends_unit(const UnitInstruction& instruction) {
  switch (instruction.family) {
    case Family::Jump:
      return instruction.treatment != Treatment::DirectBranch;
    case Family::Return:
      return !instruction.is_inlined;
    case Family::LoopBranch:
    case Family::FarTransfer:
    case Family::Interpret:
      return true;
    default:
      return false;
  }
}

namespace {

// Does the guest usually go on behind it? Where the table says Interpret it does not.
bool goes_on_behind(const GuestInstruction& instruction) {
  if (instruction.facts.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) return false;
  if (by_table(instruction.facts.mnemonic).treatment == Treatment::Interpret) return false;
  return isa_group(instruction.facts.meta.isa_set) != IsaGroup::Unknown;
}

bool loads_by_descriptor(const CodeMode& mode, ZydisRegister reg) {
  return is_data_segment(reg) && loads_by_descriptor(mode, segment_of(reg));
}

// Is the source of a MOV to a segment register one that generated code may read?
bool may_read_source(const GuestInstruction& instruction, const CodeMode& mode) {
  const ZydisDecodedOperand& source = instruction.operands[1];
  return source.type == ZYDIS_OPERAND_TYPE_REGISTER ||
         mode.may_access(segment_of(source.mem.segment), false);
}

// The same where the mode is not the usual one.
Classification classify_run_in_mode(const GuestInstruction& instruction, Privilege privilege,
                                    const TranslatorFeatures& features, const CodeMode& mode) {
  const IsaGroup group = isa_group(instruction.facts.meta.isa_set);
  const bool is_sse = group == IsaGroup::SseBase || group == IsaGroup::SseLater;
  if (is_sse && mode.has_narrow_code()) return kInterpret;
  if (!is_system_mov(instruction)) {
    const Classification listed = by_table(instruction.facts.mnemonic);
    if (listed.family == Family::ReadTime && !features.host_time_stamp) return kInterpret;
    const bool is_far = instruction.facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    if (is_far && listed.family != Family::Interpret) {
      return classify_far_transfer(instruction, privilege, features, mode);
    }
    const bool pops_segment = listed.family == Family::Pop &&
                              mode.may_access(SegmentRegister::Ss, false) &&
                              instruction.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                              loads_by_descriptor(mode, instruction.operands[0].reg.value);
    if (pops_segment) return {Treatment::Inline, Family::LoadSegment};
    return classify_in_mode(instruction, listed, privilege, mode);
  }
  const ZydisDecodedOperand& destination = instruction.operands[0];
  const bool loads = destination.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                     ZydisRegisterGetClass(destination.reg.value) == ZYDIS_REGCLASS_SEGMENT;
  if (!loads) return classify_system_mov(instruction, privilege, mode);
  const bool is_inline = (loads_by_descriptor(mode, destination.reg.value) ||
                          loads_by_selector(mode, destination.reg.value)) &&
                         may_read_source(instruction, mode);
  return is_inline ? Classification{Treatment::Inline, Family::LoadSegment} : kInterpret;
}

Classification classify_as_run(const GuestInstruction& instruction, Privilege privilege,
                               const TranslatorFeatures& features, const CodeMode& mode) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  // 82 /n, an alias of 80 /n, does not exist in 64-bit code.
  if (facts.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && facts.opcode == 0x82) return kInterpret;
  if (facts.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return kInterpret;
  switch (isa_group(facts.meta.isa_set)) {
    case IsaGroup::Unknown:
      return kInterpret;
    case IsaGroup::SseLater:
      if (!features.sse2_and_later) return kInterpret;
      break;
    default:
      break;
  }
  if (!mode.is_flat()) return classify_run_in_mode(instruction, privilege, features, mode);
  if (is_system_mov(instruction)) return classify_system_mov(instruction, privilege, mode);
  if (facts.meta.category == ZYDIS_CATEGORY_STRINGOP ||
      facts.meta.category == ZYDIS_CATEGORY_IOSTRINGOP) {
    return classify_string(instruction);
  }
  const Classification listed = by_table(facts.mnemonic);
  if (listed.family == Family::Interpret || listed.family == Family::Callout) return kInterpret;
  if (facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) {
    return classify_far_transfer(instruction, privilege, features, mode);
  }
  if (is_sixteen_bit_stack_or_branch(instruction, listed.family)) return kInterpret;
  switch (listed.family) {
    case Family::Push:
    case Family::Pop:
      // Segment registers are implicit operands of their opcodes.
      if (instruction.operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
          destination_is_gpr32(instruction)) {
        return listed;
      }
      if (listed.family == Family::Pop) return classify_segment_load(instruction);
      return {Treatment::Inline, Family::PushSelector};
    case Family::ReadTime:
      return features.host_time_stamp ? listed : kInterpret;
    case Family::InterruptFlag:
    case Family::ClearTaskSwitched:
    case Family::FlushCaches:
      return privilege == Privilege::Supervisor ? listed : kInterpret;
    case Family::LoadTable:
      return loads_table_inline(instruction, privilege, mode) ? listed : kInterpret;
    case Family::Jump:
    case Family::Call: {
      const bool direct = instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
      return {direct ? Treatment::DirectBranch : Treatment::IndirectBranch, listed.family};
    }
    case Family::Reencode:
      return classify_plain(instruction);
    default:
      return listed;
  }
}

bool is_time_read_inline(const TranslatorFeatures& features) {
  if (features.interpret_time) return false;
  const uint32_t scale = features.event_nanoseconds;
  return !features.counts_events || (std::has_single_bit(scale) && scale <= 8);
}

}  // namespace

Classification classify(const GuestInstruction& instruction, Privilege privilege,
                        const TranslatorFeatures& features, const CodeMode& mode) {
  Classification judged = classify_as_run(instruction, privilege, features, mode);
  if (features.interpret_inline && judged.treatment == Treatment::Inline) judged = kInterpret;
  if (judged.family == Family::ReadTime && !is_time_read_inline(features)) judged = kInterpret;
  // An interrupt comes at an event, and not in the shadow of an STI that has opened it: the
  // interpreter knows of the shadow, whether an interrupt is waiting or not.
  if (features.counts_events && instruction.facts.mnemonic == ZYDIS_MNEMONIC_STI) {
    judged = kInterpret;
  }
  if (judged.family == Family::Interpret && goes_on_behind(instruction)) {
    return {Treatment::Callout, Family::Callout};
  }
  return judged;
}

}  // namespace ringshift

#include "monitor/lab/sensitive.h"

#include <algorithm>

namespace ringshift::lab {
namespace {

bool is_register(const ZydisDecodedOperand& operand, ZydisRegisterClass register_class) {
  return operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
         ZydisRegisterGetClass(operand.reg.value) == register_class;
}

bool first_is(const GuestInstruction& instruction, ZydisRegisterClass register_class) {
  return is_register(instruction.operands[0], register_class);
}

bool second_is(const GuestInstruction& instruction, ZydisRegisterClass register_class) {
  return is_register(instruction.operands[1], register_class);
}

ConcernedInstruction move(const GuestInstruction& instruction) {
  if (first_is(instruction, ZYDIS_REGCLASS_SEGMENT)) return {Concern::Sensitive, "MOV Sreg, r"};
  if (second_is(instruction, ZYDIS_REGCLASS_SEGMENT)) return {Concern::Sensitive, "MOV r, Sreg"};
  if (first_is(instruction, ZYDIS_REGCLASS_CONTROL)) return {Concern::Privileged, "MOV CRn, r"};
  if (second_is(instruction, ZYDIS_REGCLASS_CONTROL)) return {Concern::Privileged, "MOV r, CRn"};
  if (first_is(instruction, ZYDIS_REGCLASS_DEBUG)) return {Concern::Privileged, "MOV DRn, r"};
  if (second_is(instruction, ZYDIS_REGCLASS_DEBUG)) return {Concern::Privileged, "MOV r, DRn"};
  return {};
}

std::string mnemonic_of(const GuestInstruction& instruction) {
  std::string name = ZydisMnemonicGetString(instruction.facts.mnemonic);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

Concern by_mnemonic(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_ARPL:
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_SYSENTER:
      return Concern::Sensitive;
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
    case ZYDIS_MNEMONIC_LGDT:
    case ZYDIS_MNEMONIC_LIDT:
    case ZYDIS_MNEMONIC_LLDT:
    case ZYDIS_MNEMONIC_LTR:
    case ZYDIS_MNEMONIC_LMSW:
    case ZYDIS_MNEMONIC_CLTS:
    case ZYDIS_MNEMONIC_INVLPG:
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_WBINVD:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_XSETBV:
    case ZYDIS_MNEMONIC_SYSEXIT:
      return Concern::Privileged;
    default:
      return Concern::None;
  }
}

}  // namespace

ConcernedInstruction concern_of(const GuestInstruction& instruction) {
  const ZydisMnemonic mnemonic = instruction.facts.mnemonic;
  if (instruction.facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR &&
      (mnemonic == ZYDIS_MNEMONIC_CALL || mnemonic == ZYDIS_MNEMONIC_JMP ||
       mnemonic == ZYDIS_MNEMONIC_RET)) {
    return {Concern::Sensitive, mnemonic_of(instruction) + " far"};
  }
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
      return move(instruction);
    case ZYDIS_MNEMONIC_PUSH:
      if (!first_is(instruction, ZYDIS_REGCLASS_SEGMENT)) return {};
      return {Concern::Sensitive, "PUSH Sreg"};
    case ZYDIS_MNEMONIC_POP:
      if (!first_is(instruction, ZYDIS_REGCLASS_SEGMENT)) return {};
      return {Concern::Sensitive, "POP Sreg"};
    default:
      break;
  }
  const Concern concern = by_mnemonic(mnemonic);
  if (concern == Concern::None) return {};
  return {concern, mnemonic_of(instruction)};
}

}  // namespace ringshift::lab

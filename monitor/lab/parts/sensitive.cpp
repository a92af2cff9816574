#include "monitor/lab/parts/sensitive.h"

#include <algorithm>

#include "translator/classify.h"

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

}  // namespace

std::string mnemonic_of(const GuestInstruction& instruction) {
  std::string name = ZydisMnemonicGetString(instruction.facts.mnemonic);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

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
  const Concern concern = sensitivity_of(mnemonic).concern;
  if (concern == Concern::None) return {};
  return {concern, mnemonic_of(instruction)};
}

Treatment treatment_of(const GuestInstruction& instruction) {
  TranslatorFeatures features;
  features.host_time_stamp = true;
  return classify(instruction, Privilege::Supervisor, features).treatment;
}

}  // namespace ringshift::lab

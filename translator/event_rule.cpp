#include "translator/event_rule.h"

namespace ringshift {
namespace {

EventRule rule_of_jump(const GuestInstruction& instruction) {
  const bool is_relative = instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
  return is_relative ? EventRule::Branch : EventRule::Always;
}

}  // namespace

EventRule event_rule(const GuestInstruction& instruction) {
  switch (instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
      return rule_of_jump(instruction);
    case ZYDIS_MNEMONIC_JO:
    case ZYDIS_MNEMONIC_JNO:
    case ZYDIS_MNEMONIC_JB:
    case ZYDIS_MNEMONIC_JNB:
    case ZYDIS_MNEMONIC_JZ:
    case ZYDIS_MNEMONIC_JNZ:
    case ZYDIS_MNEMONIC_JBE:
    case ZYDIS_MNEMONIC_JNBE:
    case ZYDIS_MNEMONIC_JS:
    case ZYDIS_MNEMONIC_JNS:
    case ZYDIS_MNEMONIC_JP:
    case ZYDIS_MNEMONIC_JNP:
    case ZYDIS_MNEMONIC_JL:
    case ZYDIS_MNEMONIC_JNL:
    case ZYDIS_MNEMONIC_JLE:
    case ZYDIS_MNEMONIC_JNLE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
      return EventRule::Branch;
    case ZYDIS_MNEMONIC_RET:
      return EventRule::Always;
    case ZYDIS_MNEMONIC_RDTSC:
      return EventRule::Time;
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
      return EventRule::Port;
    default:
      return EventRule::None;
  }
}

}  // namespace ringshift

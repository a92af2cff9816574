#include "tests/differential/flag_tracker.h"

#include "monitor/cpu/cpu_model.h"
#include "tests/differential/outcome.h"

namespace ringshift::differential {
namespace {

uint32_t undefined_of(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
#define UNDEFINED(name, flags, why) \
  case ZYDIS_MNEMONIC_##name:       \
    return flags;
#include "tests/differential/undefined_flags.def"
#undef UNDEFINED
    default:
      return 0;
  }
}

// The decoder, which knows no TZCNT, calls it BSF.
bool is_tzcnt(const GuestInstruction& instruction) {
  constexpr uint8_t kRepne = 0xf2, kRep = 0xf3;
  uint8_t last = 0;
  for (uint8_t i = 0; i < instruction.facts.raw.prefix_count; ++i) {
    const uint8_t prefix = instruction.facts.raw.prefixes[i].value;
    if (prefix == kRep || prefix == kRepne) last = prefix;
  }
  return instruction.facts.mnemonic == ZYDIS_MNEMONIC_BSF && last == kRep && CpuModel().bmi1;
}

bool is_shift(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_SHL || mnemonic == ZYDIS_MNEMONIC_SHR ||
         mnemonic == ZYDIS_MNEMONIC_SAR;
}
bool is_double_shift(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_SHLD || mnemonic == ZYDIS_MNEMONIC_SHRD;
}
bool is_rotate(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_ROL || mnemonic == ZYDIS_MNEMONIC_ROR ||
         mnemonic == ZYDIS_MNEMONIC_RCL || mnemonic == ZYDIS_MNEMONIC_RCR;
}

// The count operand is the last explicit one: an immediate, 1 or CL.
uint32_t count_of(const GuestInstruction& instruction, const GuestState& before) {
  const auto& operand = instruction.operands[instruction.facts.operand_count_visible - 1];
  const uint32_t raw = operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE
                           ? static_cast<uint32_t>(operand.imm.value.u)
                           : before.reg(Gpr::Ecx);
  return raw & 31;
}

// SDM 2B SAL/SHR and ROL: OF is for 1-bit shifts only; CF is undefined from the operand's size on.
// SDM 2B SHLD: a count above the operand's size leaves everything undefined.
uint32_t undefined_of_shift(const GuestInstruction& instruction, uint32_t count) {
  const ZydisMnemonic mnemonic = instruction.facts.mnemonic;
  uint32_t flags = is_rotate(mnemonic) ? 0 : kFlagAf;
  if (count != 1) flags |= kFlagOf;
  const uint32_t size = instruction.operands[0].size;
  const bool left_or_right = mnemonic == ZYDIS_MNEMONIC_SHL || mnemonic == ZYDIS_MNEMONIC_SHR;
  if (left_or_right && count >= size) flags |= kFlagCf;
  return flags;
}

bool is_counted(const GuestInstruction& instruction) {
  const ZydisMnemonic mnemonic = instruction.facts.mnemonic;
  return is_shift(mnemonic) || is_rotate(mnemonic) || is_double_shift(mnemonic);
}

bool may_not_run(const GuestInstruction& instruction) {
  constexpr ZydisInstructionAttributes kRepeats =
      ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
  return (instruction.facts.attributes & kRepeats) != 0;
}

// SDM 2B MASKMOVDQU: with a mask of zeros, which exceptions are raised is the implementation's
// choice; so is whether MASKMOVQ has gone over to MMX when it faults.
bool is_masked_store(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU;
}
bool is_plain_data(uint32_t address) { return address - kDataBase < kHole - kDataBase - 16; }

}  // namespace

bool FlagTracker::allows(const GuestInstruction& instruction, const GuestState& before) const {
  if (is_masked_store(instruction.facts.mnemonic) && !is_plain_data(before.reg(Gpr::Edi))) {
    return false;
  }
  if (is_double_shift(instruction.facts.mnemonic) &&
      count_of(instruction, before) > instruction.operands[0].size) {
    return false;
  }
  const ZydisAccessedFlags* flags = instruction.facts.cpu_flags;
  const bool pushes_all = instruction.facts.mnemonic == ZYDIS_MNEMONIC_PUSHF ||
                          instruction.facts.mnemonic == ZYDIS_MNEMONIC_PUSHFD;
  if (pushes_all) return undefined_ == 0;
  return flags == nullptr || (flags->tested & undefined_) == 0;
}

void FlagTracker::apply(const GuestInstruction& instruction, const GuestState& before) {
  if (is_tzcnt(instruction)) {
    undefined_ = undefined_of(ZYDIS_MNEMONIC_TZCNT);
    return;
  }
  const ZydisAccessedFlags* flags = instruction.facts.cpu_flags;
  uint32_t leaves = undefined_of(instruction.facts.mnemonic);
  bool always = !may_not_run(instruction);
  if (is_counted(instruction)) {
    const uint32_t count = count_of(instruction, before);
    if (count == 0) return;
    leaves = undefined_of_shift(instruction, count);
    always = true;
  }
  if (flags != nullptr && always) {
    undefined_ &= ~(flags->modified | flags->set_0 | flags->set_1);
  }
  undefined_ |= leaves;
}

}  // namespace ringshift::differential

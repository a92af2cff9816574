#include "translator/user_sensitivity.h"

#include <bitset>
#include <vector>

#include "shadowmmu/base/address.h"

namespace ringshift {
namespace {

bool loads_or_shows_a_segment(const GuestInstruction& instruction) {
  // Operands that are segment registers, implicit ones of PUSH and POP among them. Overrides are
  // part of a memory operand and no operand of their own.
  for (uint8_t i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
        operand.visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
        ZydisRegisterGetClass(operand.reg.value) == ZYDIS_REGCLASS_SEGMENT) {
      return true;
    }
  }
  return instruction.facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

bool answers_for_the_host(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
      return true;
    default:
      return false;
  }
}

// INTO and INT 4: the host reports their trap as it does #GP, but behind the instruction.
bool is_overflow_trap(const GuestInstruction& instruction) {
  constexpr uint64_t kOverflow = 4;
  return instruction.facts.mnemonic == ZYDIS_MNEMONIC_INTO ||
         (instruction.facts.mnemonic == ZYDIS_MNEMONIC_INT &&
          instruction.operands[0].imm.value.u == kOverflow);
}

// REP BSF and REP BSR: on a processor with BMI1 and LZCNT they are other instructions.
bool is_a_later_bit_scan(const GuestInstruction& instruction, const TranslatorFeatures& features) {
  if (!ignores_repeat(instruction, features)) return false;
  constexpr uint8_t kRep = 0xf3;
  for (uint8_t i = 0; i < instruction.facts.raw.prefix_count; ++i) {
    if (instruction.facts.raw.prefixes[i].value == kRep) return true;
  }
  return false;
}

// Offsets are from the first of the bytes given.
class PageScan {
 public:
  PageScan(const CodePageBytes& page, const TranslatorFeatures& features)
      : bytes_(page.bytes),
        begin_(page.before),
        end_(page.before + kPageSize),
        features_(features) {}

  bool run(std::optional<uint32_t> entry) {
    pending_ = {0};
    if (entry) pending_.push_back(begin_ + *entry);
    while (!pending_.empty()) {
      const uint32_t from = pending_.back();
      pending_.pop_back();
      if (!sweep(from)) return false;
    }
    return true;
  }

 private:
  // On until something already seen: what follows a jump or a return is looked at as well, since it
  // is most likely reached from somewhere.
  bool sweep(uint32_t at) {
    while (at < end_ && !seen_[at]) {
      seen_[at] = true;
      GuestInstruction instruction;
      if (decode(bytes_.subspan(at), DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) {
        ++at;  // data, or an instruction whose end is not mapped: not one that runs
        continue;
      }
      if (at >= begin_ && !runs_directly(instruction, features_)) return false;
      note_branch(instruction, at);
      at += instruction.length;
    }
    return true;
  }

  void note_branch(const GuestInstruction& instruction, uint32_t at) {
    const ZydisDecodedOperand& target = instruction.operands[0];
    if (at < begin_ || instruction.facts.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
        target.type != ZYDIS_OPERAND_TYPE_IMMEDIATE || target.imm.is_relative == 0) {
      return;
    }
    const auto to = static_cast<uint32_t>(at + instruction.length + target.imm.value.u);
    if (to >= begin_ && to < end_ && !seen_[to]) pending_.push_back(to);
  }

  std::span<const uint8_t> bytes_;
  uint32_t begin_;
  uint32_t end_;
  const TranslatorFeatures& features_;
  std::bitset<kBytesBeforePage + kPageSize> seen_;
  std::vector<uint32_t> pending_;
};

}  // namespace

bool runs_directly(const GuestInstruction& instruction, const TranslatorFeatures& features) {
  if (!guest_processor_has(instruction, features)) return false;
  return !loads_or_shows_a_segment(instruction) &&
         !answers_for_the_host(instruction.facts.mnemonic) && !is_overflow_trap(instruction) &&
         !is_a_later_bit_scan(instruction, features);
}

bool page_runs_directly(const CodePageBytes& page, std::optional<uint32_t> entry,
                        const TranslatorFeatures& features) {
  return PageScan(page, features).run(entry);
}

}  // namespace ringshift

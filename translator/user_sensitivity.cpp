#include "translator/user_sensitivity.h"

#include <algorithm>
#include <vector>

#include "shadowmmu/base/hash.h"
#include "translator/sensitivity.h"

namespace ringshift {
namespace {

// MOV, PUSH and POP of segment registers, by opcode; far transfers. An override loads no segment.
bool loads_or_shows_a_segment(const ZydisDecodedInstruction& facts) {
  if (facts.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return true;
  if (facts.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return false;
  if (facts.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
    switch (facts.opcode) {
      case 0x06:  // PUSH and POP: ES, CS, SS, DS
      case 0x07:
      case 0x0e:
      case 0x16:
      case 0x17:
      case 0x1e:
      case 0x1f:
      case 0x8c:  // MOV
      case 0x8e:
        return true;
      default:
        return false;
    }
  }
  if (facts.opcode_map != ZYDIS_OPCODE_MAP_0F) return false;
  switch (facts.opcode) {
    case 0xa0:  // PUSH and POP: FS, GS
    case 0xa1:
    case 0xa8:
    case 0xa9:
      return true;
    default:
      return false;
  }
}

bool answers_for_the_host(ZydisMnemonic mnemonic) {
  return sensitivity_of(mnemonic).deprived == Deprived::Answers;
}

// Traps whose place is not known. INTO and INT 4: the host reports them as it does #GP, but behind
// the instruction. ICEBP: behind the instruction, or at it where a hypervisor has a hand in it.
bool is_trap_of_unknown_place(const ZydisDecodedInstruction& facts) {
  constexpr uint64_t kOverflow = 4;
  return facts.mnemonic == ZYDIS_MNEMONIC_INTO || facts.mnemonic == ZYDIS_MNEMONIC_INT1 ||
         (facts.mnemonic == ZYDIS_MNEMONIC_INT && facts.raw.imm[0].value.u == kOverflow);
}

// REP BSF and REP BSR: on a processor with BMI1 and LZCNT they are other instructions.
bool is_a_later_bit_scan(const ZydisDecodedInstruction& facts, const TranslatorFeatures& features) {
  if (!ignores_repeat(facts, features)) return false;
  constexpr uint8_t kRep = 0xf3;
  for (uint8_t i = 0; i < facts.raw.prefix_count; ++i) {
    if (facts.raw.prefixes[i].value == kRep) return true;
  }
  return false;
}

constexpr uint8_t kTwoByteOpcode = 0x0f;

bool is_untrapped_opcode(uint8_t second, const HostTraps& traps) {
  constexpr uint8_t kSyscall = 0x05;
  constexpr uint8_t kSysenter = 0x34;
  constexpr uint8_t kCpuid = 0xa2;
  return (second == kCpuid && !traps.cpuid) || (second == kSyscall && !traps.syscall) ||
         (second == kSysenter && !traps.sysenter);
}

// At whatever offset: no jump into the middle of an instruction reaches one. An opcode that begins
// in a page whose bytes are not known counts, one that ends in such a page does not: its page will
// be examined with this one before it.
bool holds_untrapped_opcode(const CodePageBytes& page, const HostTraps& traps) {
  if (traps.cpuid && traps.syscall && traps.sysenter) return false;
  const std::span<const uint8_t> bytes = page.bytes;
  const size_t begin = page.before;
  if (begin == 0 && is_untrapped_opcode(bytes[0], traps)) return true;
  const size_t end = std::min(bytes.size(), begin + kPageSize + 1);
  for (size_t i = begin == 0 ? 1 : begin; i < end; ++i) {
    if (bytes[i - 1] == kTwoByteOpcode && is_untrapped_opcode(bytes[i], traps)) return true;
  }
  return false;
}

// Offsets are from the first of the bytes given.
class PageScan {
 public:
  PageScan(const CodePageBytes& page, const DirectRules& rules)
      : bytes_(page.bytes), begin_(page.before), end_(page.before + kPageSize), rules_(rules) {}

  CodePageVerdict run(std::optional<uint32_t> entry) {
    pending_ = {0};
    if (entry) pending_.push_back(begin_ + *entry);
    CodePageVerdict verdict;
    while (!pending_.empty()) {
      const uint32_t from = pending_.back();
      pending_.pop_back();
      if (!sweep(from)) return verdict;
    }
    verdict.runs_directly = true;
    for (uint32_t i = 0; i < kPageSize; ++i) verdict.examined[i] = seen_[begin_ + i];
    return verdict;
  }

 private:
  // On until something already seen: code behind a jump or a return is looked at as well, since it
  // is most likely reached from somewhere.
  bool sweep(uint32_t at) {
    ZydisDecodedInstruction facts;
    while (at < end_ && !seen_[at]) {
      seen_[at] = true;
      if (!decode_facts(bytes_.subspan(at), DecodeMode::Bits32, &facts)) {
        ++at;  // data, or an instruction whose end is not mapped: not one that runs
        continue;
      }
      if (at >= begin_ && !may_run(facts)) return false;
      note_branch(facts, at);
      at += facts.length;
    }
    return true;
  }

  [[nodiscard]] bool may_run(const ZydisDecodedInstruction& facts) const {
    return ringshift::runs_directly(facts, rules_.features) &&
           (rules_.mxcsr_is_guests || !depends_on_mxcsr_bits(facts.mnemonic));
  }

  void note_branch(const ZydisDecodedInstruction& facts, uint32_t at) {
    if (at < begin_ || facts.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
        facts.raw.imm[0].is_relative == 0) {
      return;
    }
    const auto to = static_cast<uint32_t>(at + facts.length + facts.raw.imm[0].value.u);
    if (to >= begin_ && to < end_ && !seen_[to]) pending_.push_back(to);
  }

  std::span<const uint8_t> bytes_;
  uint32_t begin_;
  uint32_t end_;
  const DirectRules& rules_;
  std::bitset<kBytesBeforePage + kPageSize> seen_;
  std::vector<uint32_t> pending_;
};

}  // namespace

bool runs_directly(const ZydisDecodedInstruction& facts, const TranslatorFeatures& features) {
  if (!guest_processor_has(facts, features)) return false;
  return !loads_or_shows_a_segment(facts) && !answers_for_the_host(facts.mnemonic) &&
         !is_trap_of_unknown_place(facts) && !is_a_later_bit_scan(facts, features);
}

bool depends_on_mxcsr_bits(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_FXSAVE || mnemonic == ZYDIS_MNEMONIC_FXRSTOR ||
         mnemonic == ZYDIS_MNEMONIC_LDMXCSR;
}

CodePageVerdict examine_code_page(const CodePageBytes& page, std::optional<uint32_t> entry,
                                  const DirectRules& rules) {
  if (holds_untrapped_opcode(page, rules.traps)) return {};
  return PageScan(page, rules).run(entry);
}

bool CodePageVerdicts::runs_directly(const CodePageBytes& page, std::optional<uint32_t> entry) {
  const uint64_t key = hash_bytes(page.bytes, page.before);
  const auto known = verdicts_.find(key);
  if (known != verdicts_.end()) {
    const CodePageVerdict& verdict = known->second;
    // An entry among instructions that have been looked at leads to nothing new.
    if (!verdict.runs_directly || !entry || verdict.examined[*entry]) return verdict.runs_directly;
  }
  ++examined_;
  const CodePageVerdict verdict = examine_code_page(page, entry, rules_);
  if (verdicts_.size() >= kMost) verdicts_.clear();
  // Code found sensitive from one entry need not be so from another.
  if (verdict.runs_directly || !entry) verdicts_.insert_or_assign(key, verdict);
  return verdict.runs_directly;
}

}  // namespace ringshift

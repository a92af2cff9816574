// User sensitivity: the instructions that mean something else to this processor than to the
// guest's, and do so without trapping, when they run as they are at CPL 3. See
// docs/direct-execution.md.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

#include "shadowmmu/base/address.h"
#include "translator/classify.h"
#include "translator/decode.h"

namespace ringshift {

// The instructions on which hosts differ: whether each traps, at the instruction itself, at CPL 3
// in 32-bit mode.
struct HostTraps {
  // The host kernel can make CPUID fault (arch_prctl ARCH_SET_CPUID). Otherwise it answers for the
  // host.
  bool cpuid = true;
  // SYSCALL is an undefined opcode outside 64-bit mode (Intel, SDM 2B). AMD's processors enter the
  // host kernel (APM 3), which loses EIP and ECX.
  bool syscall = true;
  // SYSENTER is an undefined opcode in long mode (AMD, APM 3). Intel's processors enter the host
  // kernel, which loses EIP.
  bool sysenter = true;
};

// May it run untranslated? An instruction that traps may: its trap leads to the interpreter.
// Assumes IF set, IOPL 0, no single-stepping, RDTSC that faults. The instructions of HostTraps are
// examine_code_page's.
[[nodiscard]] bool runs_directly(const ZydisDecodedInstruction& facts,
                                 const TranslatorFeatures& features);

// A page of code and the bytes around it.
struct CodePageBytes {
  std::span<const uint8_t> bytes;
  // How many of them lie before the page: from them a sweep finds where the page's first
  // instruction begins. The page's 4 KiB follow, and then up to 15 bytes of the next page, where
  // its last instruction may end.
  uint32_t before = 0;
};
inline constexpr uint32_t kBytesBeforePage = 64;

struct CodePageVerdict {
  bool runs_directly = false;
  // If so: where in the page the instructions begin that have been looked at.
  std::bitset<kPageSize> examined;
};

// The deciding facts: the guest's processor and the host's.
struct DirectRules {
  TranslatorFeatures features;
  HostTraps traps;
  // The host's MXCSR has the same bits as the guest's, so that FXSAVE, FXRSTOR and LDMXCSR are the
  // guest's too.
  bool mxcsr_is_guests = true;
};

// Does it show or check which bits of MXCSR the processor has? (SDM 1 11.6.6)
[[nodiscard]] bool depends_on_mxcsr_bits(ZydisMnemonic mnemonic);

// Looks through the page from `entry` (offset in the page) if an instruction is known to begin
// there, from the bytes before it, and wherever direct branches lead within it. It runs directly if
// every instruction found does, and if no offset at all holds an opcode of HostTraps that does not
// trap. Such an opcode may also begin in the page before: both pages are
// executable only if the one that is examined last has been looked at together with the other.
[[nodiscard]] CodePageVerdict examine_code_page(const CodePageBytes& page,
                                                std::optional<uint32_t> entry,
                                                const DirectRules& rules);

// The same, remembering: every process of a program has the same pages. Owns: the verdicts, by a
// hash of the bytes; at most kMost.
class CodePageVerdicts {
 public:
  explicit CodePageVerdicts(const DirectRules& rules) : rules_(rules) {}
  [[nodiscard]] bool runs_directly(const CodePageBytes& page, std::optional<uint32_t> entry);
  [[nodiscard]] uint64_t examined() const { return examined_; }
  [[nodiscard]] const DirectRules& rules() const { return rules_; }

  static constexpr size_t kMost = 2048;  // of some 550 bytes each

 private:
  DirectRules rules_;
  std::unordered_map<uint64_t, CodePageVerdict> verdicts_;
  uint64_t examined_ = 0;
};

}  // namespace ringshift

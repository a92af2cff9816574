// User sensitivity: which instructions mean something else to this processor than to the guest's,
// and do so without trapping, when they run as they are at CPL 3. Owns: nothing; pure. Called by:
// direct execution, before a page of guest code may run untranslated. See docs/direct-execution.md.
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

// May it run untranslated? Whatever traps may: the trap brings it to the interpreter. Assumes IF
// set, IOPL 0, no single-stepping, CPUID and RDTSC that fault.
[[nodiscard]] bool runs_directly(const ZydisDecodedInstruction& facts,
                                 const TranslatorFeatures& features);

// A page of code and what is known around it.
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

// Looks through the page from `entry` (offset in the page) if an instruction is known to begin
// there, from the bytes before it, and wherever direct branches lead within it. It runs directly if
// every instruction found does.
[[nodiscard]] CodePageVerdict examine_code_page(const CodePageBytes& page,
                                                std::optional<uint32_t> entry,
                                                const TranslatorFeatures& features);

// The same, remembering: every process of a program has the same pages. Owns: the verdicts, by a
// hash of the bytes; at most kMost.
class CodePageVerdicts {
 public:
  explicit CodePageVerdicts(const TranslatorFeatures& features) : features_(features) {}
  [[nodiscard]] bool runs_directly(const CodePageBytes& page, std::optional<uint32_t> entry);
  [[nodiscard]] uint64_t examined() const { return examined_; }

  static constexpr size_t kMost = 2048;  // of some 550 bytes each

 private:
  TranslatorFeatures features_;
  std::unordered_map<uint64_t, CodePageVerdict> verdicts_;
  uint64_t examined_ = 0;
};

}  // namespace ringshift

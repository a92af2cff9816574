// Dump: a unit and the host code made of it, as text that is the same from run to run. Host
// addresses come out as offsets and names. See docs/translator.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "translator/emitted_code.h"
#include "translator/stubs.h"
#include "translator/translation_unit.h"

namespace ringshift {

// A guest instruction and the host code that stands for it, a line for each host instruction.
struct DumpedInstruction {
  Eip eip;
  uint8_t length = 0;
  Treatment treatment = Treatment::Interpret;
  AccessStyle style = AccessStyle::Window;
  std::string bytes;  // "0f a2"
  std::string text;   // "cpuid"
  std::vector<std::string> host;
};

struct DumpedUnit {
  TranslationKey key;
  uint32_t hot = 0, cold = 0;      // host instructions: on the way through, and of the exits
  std::vector<std::string> entry;  // from the jump table
  std::vector<DumpedInstruction> instructions;  // in the order of the host code
  std::vector<std::string> exits;
  std::vector<Eip> links;  // by their number in the lines
};

// `code` was emitted from `unit` to run at `at`.
[[nodiscard]] DumpedUnit take_apart(const TranslationUnit& unit, const EmittedCode& code,
                                    const Stubs& stubs, uint64_t at);

// Line 1: how much host code the guest instructions became. Then the fragment's entry, a block for
// each guest instruction, and the exits.
[[nodiscard]] std::string dump_text(const DumpedUnit& dumped);
[[nodiscard]] std::string dump(const TranslationUnit& unit, const EmittedCode& code,
                               const Stubs& stubs, uint64_t at);

}  // namespace ringshift

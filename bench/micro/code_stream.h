// CodeStream: a real program's instructions in a TranslatorMachine, cut into blocks, for timing
// translation. Owns: the machine. The program is the cached guests' busybox; without it, bundled
// bytes again and again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/support/translator_fixture.h"

namespace ringshift {

struct CodeText {
  std::vector<uint8_t> bytes;
  std::string origin;  // for the benchmark's label
};
[[nodiscard]] const CodeText& code_text();

class CodeStream {
 public:
  static constexpr uint32_t kBase = 0x10000;
  static constexpr uint32_t kMostBytes = TranslatorMachine::kRamBytes - kBase;

  explicit CodeStream(AccessStyle style);

  TranslatorMachine machine;
  std::vector<TranslationKey> blocks;  // one after the other, from the first byte to the last
  uint64_t instructions = 0;           // in all of them
};

}  // namespace ringshift

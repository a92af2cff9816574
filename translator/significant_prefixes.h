// Significant prefixes: the prefixes of a guest instruction that change its meaning, each once. A
// guest may repeat prefixes until its instruction has 15 bytes; with a REX prefix or a longer
// address the host's would have more, and the host's processor refuses that (SDM 3A 6.15, #GP). See
// docs/translator.md, "re-encoding".
#pragma once

#include <array>
#include <cstdint>

#include "translator/decode.h"

namespace ringshift {

struct SignificantPrefixes {
  bool operand_size = false;
  bool lock = false;
  uint8_t repeat = 0;  // F2 or F3: of both the last one counts (SDM 2A 2.1.1); 0: neither
};

// Segments and address sizes are left out: they belong to an address that becomes another one.
[[nodiscard]] inline SignificantPrefixes significant_prefixes(
    const ZydisDecodedInstruction& facts) {
  SignificantPrefixes found;
  for (uint8_t i = 0; i < facts.raw.prefix_count; ++i) {
    const uint8_t prefix = facts.raw.prefixes[i].value;
    if (prefix == 0x66) found.operand_size = true;
    if (prefix == 0xf0) found.lock = true;
    if (prefix == 0xf2 || prefix == 0xf3) found.repeat = prefix;
  }
  return found;
}

}  // namespace ringshift

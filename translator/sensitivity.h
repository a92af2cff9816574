// Sensitivity: the mnemonics that a monitor has to care about, by the table sensitivity.def.
// Segment moves, far transfers and control-register moves share mnemonics with plain ones: who asks
// looks at the operands. See docs/direct-execution.md, docs/lab.md, SDM 2A and 2B.
#pragma once

#include <cstdint>

#include "translator/decode.h"

namespace ringshift {

enum class Concern : uint8_t {
  None,
  Sensitive,   // sensitive and unprivileged on classic x86
  Privileged,  // #GP outside ring 0 (or by IOPL)
};

// At CPL 3 on the host, untranslated; IF set, IOPL 0, CPUID and RDTSC that fault.
enum class Deprived : uint8_t {
  Same,     // as on the guest's processor
  Traps,    // to its monitor
  Answers,  // shows or takes the host's state, in silence
};

struct Sensitivity {
  Concern concern = Concern::None;
  Deprived deprived = Deprived::Same;
};

[[nodiscard]] Sensitivity sensitivity_of(ZydisMnemonic mnemonic);

}  // namespace ringshift

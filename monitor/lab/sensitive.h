// Sensitive: which instructions of a kernel a monitor has to care about, and what they are called.
// Owns: nothing; pure. Called by: census, lockstep, trap engine. Segment moves, far transfers and
// control-register moves share mnemonics with plain ones, hence names of our own.
// See docs/lab.md, SDM 2A and 2B.
#pragma once

#include <string>

#include "translator/decode.h"

namespace ringshift::lab {

enum class Concern : uint8_t {
  None,
  Sensitive,   // sensitive and unprivileged on classic x86
  Privileged,  // #GP outside ring 0 (or by IOPL)
};

struct ConcernedInstruction {
  Concern concern = Concern::None;
  std::string name;  // "MOV Sreg, r", "POPF", "CLI"; empty for None
};

[[nodiscard]] ConcernedInstruction concern_of(const GuestInstruction& instruction);

}  // namespace ringshift::lab

// Guest code: one instruction of a machine's guest as text, from where its page tables have it now.
// Looks only: no accessed bit is set. See docs/lab.md.
#pragma once

#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

// At CS:`eip`; "?" where there is no code, or none of 32 bits.
[[nodiscard]] std::string guest_instruction(Machine& machine, uint32_t eip);

}  // namespace ringshift::lab

// Interpreter debug registers: instruction, data and I/O breakpoints of DR0..DR3. Reads the debug
// registers of GuestState. See SDM 3A 17.2.
#pragma once

#include "monitor/interpreter/operation.h"

namespace ringshift::interp {

// The #DB of an enabled instruction breakpoint at CS:EIP, if there is one. It is a fault: the
// instruction has not run (SDM 3A 17.3.1.1).
[[nodiscard]] MaybeFault instruction_breakpoint(const Execution& x);

}  // namespace ringshift::interp

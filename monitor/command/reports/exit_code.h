// ExitCode: the exit code that tells a run's end to the program that started it. See docs/usage.md.
#pragma once

#include "monitor/machine/machine.h"

namespace ringshift {

// The guest's run as a whole: an incomplete file is the host's failure, unless there is a worse
// reason. Prints the line that a reason of ours has.
[[nodiscard]] int final_exit_code(const MachineOutcome& outcome, bool all_written);

// All of them, for --help.
inline constexpr char kExitCodes[] =
    "Exit codes: 0 power-off (HLT with interrupts off), 2 bad command line, image or host,\n"
    "4 the guest used something not implemented, 6 reset under --no-reboot, 8 Ctrl-A x or "
    "SIGTERM, 10 the host failed or an output file could not be written,\n"
    "134 internal error; odd: the guest wrote v to the debug-exit port 0xf4, (v << 1) | 1.\n";

}  // namespace ringshift

// LastPage: the guest's text screen as it was at the end, for a user who has not seen it. See
// docs/usage.md, "The console".
#pragma once

#include "monitor/command/options/options.h"

namespace ringshift {

// True: nobody has seen the text screen, and somebody is there to see it now. A machine that is
// saved has not stopped.
[[nodiscard]] bool leaves_last_page(const RunOptions& options, const MachineOutcome& outcome);

// Prints the screen on standard error, under one line of explanation; nothing if it is blank or no
// text.
void leave_last_page(Machine& machine);

}  // namespace ringshift

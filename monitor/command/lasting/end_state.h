// End state: a run's last words about its machine, beside the statistics: the screen as text or as
// a picture, and a digest. See docs/usage.md.
#pragma once

#include "monitor/command/options/options.h"

namespace ringshift {

// Writes --dump-screen, --screendump and --digest, or leaves the last text page for a user who saw
// no display. False, with a line on standard error: a file could not be written.
[[nodiscard]] bool leave_end_state(const RunOptions& options, const MachineOutcome& outcome,
                                   Machine& machine);

}  // namespace ringshift

// Run end: how long the run of a guest was and how it ended, in words. See docs/lab.md.
#pragma once

#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

// "4 ms", "2.5 s"
[[nodiscard]] std::string duration_text(double seconds);
// "powered off", "ended the run with 3"
[[nodiscard]] std::string end_of(const MachineOutcome& outcome);

}  // namespace ringshift::lab

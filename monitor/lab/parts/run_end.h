// Run end: how the run of a guest ended, in words. See docs/lab.md.
#pragma once

#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

// "powered off", "ended the run with 3"
[[nodiscard]] std::string end_of(const MachineOutcome& outcome);

}  // namespace ringshift::lab

// Clock options: --clock, --time and --rtc. See docs/time.md, docs/exact-execution.md and
// docs/usage.md.
#pragma once

#include <string>

#include "monitor/command/options/options.h"

namespace ringshift {

// --clock: "host", or "events" with ns=N, the virtual nanoseconds of an event, and idle=skip|wait.
// --time: "usual", "real", "lazy", "scaled=F" with F from 0.01 to 100, or "events", which means
// --clock events; a contradiction to --clock is an error. --rtc: "utc", "localtime", a date with or
// without a time of day. After the other options of the machine: one that brings the host's time or
// its random numbers into the guest contradicts --clock events. False with one line in
// *problem.
[[nodiscard]] bool apply_clock(RunOptions* options, std::string* problem);

}  // namespace ringshift

// Traced process: operations on a process that this thread traces, for a signal handler too. The
// process is DirectProcess's. See docs/direct-execution.md.
#pragma once

#include <sys/types.h>

namespace ringshift {

// Stops it soon, with an event of its own kind. Nothing happens if the calling thread does not
// trace it. async-signal-safe
void interrupt_traced_process(pid_t process);

}  // namespace ringshift

// Host limits: a host that gives us less than we ask for ends the run with one line and an exit
// code. Owns: the handler of failed allocations. Limits that a call reports (files, threads,
// mappings) are handled by the caller. See docs/faults-and-exits.md.
#pragma once

namespace ringshift {

// From here on a file that grows beyond its limit is a failed write, and an allocation that fails
// ends the program in one line.
void prepare_for_limits();
// The guest is about to run: a failure from now on is no fault of the command line's.
void note_guest_runs();
// Memory is refused because the command line says so.
void note_memory_limit();

}  // namespace ringshift

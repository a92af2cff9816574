// LostMemory: the end of a run that has lost memory which its guest was given: the host has none
// for a page, or the file that RAM is shared from has been cut short. Owns: which file that is.
// See docs/faults-and-exits.md.
#pragma once

#include <cstdint>

namespace ringshift {

// RAM is mapped from this file, which has to have so many bytes; -1: from none. One machine a
// process.
void note_ram_file(int descriptor, uint64_t bytes);
// One line, without its end, that names the lost memory. async-signal-safe
[[nodiscard]] const char* lost_memory_text();
// Gives the terminal back, says why in one line, and ends the process. async-signal-safe
[[noreturn]] void end_process(const char* why, int exit_code);
// A machine that is whole on neither side of a migration: ends the process with kExitInTwo.
[[noreturn]] void end_in_two(const char* why);
// Says so and ends the process with kExitHost. async-signal-safe
[[noreturn]] void end_without_memory();

}  // namespace ringshift

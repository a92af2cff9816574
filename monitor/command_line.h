// Command line: options -> MachineConfig, outcome -> exit code. Owns: the spelling of every
// command. See docs/usage.md.
#pragma once

#include <functional>

#include "monitor/program_version.h"

namespace ringshift {

class Machine;

// For test programs that are this program with something added. The product adds nothing.
struct CommandLineHooks {
  std::function<void(Machine&)> on_machine;  // each one that is made, before it runs
};

int run_command_line(int argc, char** argv, const ProgramVersion& version,
                     const CommandLineHooks& hooks = {});

}  // namespace ringshift

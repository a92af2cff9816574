// Command line: options -> MachineConfig, outcome -> exit code. Sub-commands run, translate,
// doctor. Owns: the spelling of every command. See
// docs/usage.md.
#pragma once

#include <functional>

namespace ringshift {

class Machine;

inline constexpr char kVersion[] = "0.1.0";

// For test programs that are this program with something added. The product adds nothing.
struct CommandLineHooks {
  std::function<void(Machine&)> on_machine;  // each one that is made, before it runs
};

int run_command_line(int argc, char** argv, const CommandLineHooks& hooks = {});

}  // namespace ringshift

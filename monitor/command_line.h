// Command line: options -> MachineConfig, outcome -> exit code. Sub-commands run, translate,
// doctor. Owns: the spelling of every option, the exit codes. Called by: main.cpp only. See
// docs/usage.md.
#pragma once

#include <functional>

namespace ringshift {

class Machine;

// Exit codes. A guest that writes v to the debug-exit port ends with (v << 1) | 1, which is odd.
inline constexpr int kExitPowerOff = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnimplemented = 4;  // the guest used something we do not have
inline constexpr int kExitReset = 6;          // the guest reset, under --no-reboot
inline constexpr int kExitHost = 10;          // the host took away what the run cannot do without
inline constexpr int kExitQuit = 8;           // Ctrl-A x
inline constexpr int kExitInternal = 134;     // our own mistake: SIGABRT as a shell shows it

inline constexpr char kVersion[] = "0.1.0";

// For test programs that are this program with something added. The product adds nothing.
struct CommandLineHooks {
  std::function<void(Machine&)> on_machine;  // each one that is made, before it runs
};

int run_command_line(int argc, char** argv, const CommandLineHooks& hooks = {});

}  // namespace ringshift

// Trap: the same guest under three engines, side by side, and the first instruction on which
// trap-and-emulate goes wrong, found in step with the interpreter.
// Owns: nothing; values. Called by: lab command. See docs/lab.md.
// A guest that prints nothing but "name=value" lines on its serial port is asking questions; any
// other is shown by the last line it printed.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

struct EngineRun {
  std::string engine;
  std::string serial;
  std::string end;
  uint64_t interpreted = 0;
  std::map<std::string, uint64_t> refused;  // of these: given to the guest as its own fault
};

struct TrapReport {
  std::string image;
  std::string refused;            // why nothing can run deprivileged here; empty: it can
  std::array<EngineRun, 3> runs;  // interpret, trap, translate
  Difference first;               // under trap; found only if it went wrong
  LockstepFigures figures;
};

// Each run ends by itself or after `seconds`. False with one line in *error.
[[nodiscard]] bool compare_engines(const MachineConfig& config, double seconds, TrapReport* report,
                                   std::string* error);

[[nodiscard]] std::string trap_as_text(const TrapReport& report);
[[nodiscard]] std::string trap_as_json(const TrapReport& report);
[[nodiscard]] std::string trap_as_html(const TrapReport& report);

[[nodiscard]] std::string end_of(const MachineOutcome& outcome);

}  // namespace ringshift::lab

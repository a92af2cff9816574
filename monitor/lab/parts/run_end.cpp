#include "monitor/lab/parts/run_end.h"

#include <fmt/format.h>

namespace ringshift::lab {

std::string duration_text(double seconds) {
  constexpr double kLong = 0.95;
  return seconds < kLong ? fmt::format("{:.0f} ms", seconds * 1e3)
                         : fmt::format("{:.1f} s", seconds);
}

std::string end_of(const MachineOutcome& outcome) {
  switch (outcome.reason) {
    case StopReason::Halted:
      return "powered off";
    case StopReason::Reset:
      return "reset (triple fault or request)";
    case StopReason::DebugExit:
      return "ended the run with " + std::to_string(outcome.debug_exit_value);
    case StopReason::Panicked:
      return "panicked";
    case StopReason::Quit:
    case StopReason::Saved:
    case StopReason::Migrated:
      return "was stopped: time was up";
    case StopReason::HostFailure:
    case StopReason::InTwo:
    case StopReason::Unimplemented:
      return outcome.message;
    case StopReason::Running:
      break;
  }
  return "?";
}

}  // namespace ringshift::lab

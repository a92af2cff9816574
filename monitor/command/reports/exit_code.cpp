#include "monitor/command/reports/exit_code.h"

#include <cstdio>

#include "monitor/host/exit_codes.h"

namespace ringshift {
namespace {

int exit_code_of(const MachineOutcome& outcome) {
  switch (outcome.reason) {
    case StopReason::Running:
    case StopReason::Halted:
    case StopReason::Saved:
    case StopReason::Migrated:
      return kExitPowerOff;
    case StopReason::Reset:
      return kExitReset;
    case StopReason::DebugExit:
      return (outcome.debug_exit_value << 1) | 1;
    case StopReason::Panicked:
      std::fprintf(stderr, "ringshift: the guest's kernel has panicked\n");
      return kExitPanic;
    case StopReason::Quit:
      return kExitQuit;
    case StopReason::HostFailure:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitHost;
    case StopReason::InTwo:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitInTwo;
    case StopReason::Unimplemented:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitUnimplemented;
  }
  return kExitInternal;
}

}  // namespace

int final_exit_code(const MachineOutcome& outcome, bool all_written) {
  const int exit_code = exit_code_of(outcome);
  const bool is_worse =
      exit_code == kExitUnimplemented || exit_code == kExitInternal || exit_code == kExitInTwo;
  return all_written || is_worse ? exit_code : kExitHost;
}

}  // namespace ringshift

// Exit codes: how the program ends, as a shell sees it. A signal handler may use them. See
// docs/usage.md, "Exit codes".
#pragma once

namespace ringshift {

// A guest that writes v to the debug-exit port ends with (v << 1) | 1, which is odd.
inline constexpr int kExitPowerOff = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnimplemented = 4;  // the guest used something we do not have
inline constexpr int kExitReset = 6;          // the guest reset, under --no-reboot
inline constexpr int kExitPanic = 12;         // the guest's kernel says that it has panicked
inline constexpr int kExitDiverged = 14;      // a replay is not the run that was recorded
inline constexpr int kExitInTwo = 16;      // a machine that is whole on neither side of a migration
inline constexpr int kExitHost = 10;       // the host took away a facility that the run needs
inline constexpr int kExitQuit = 8;        // Ctrl-A x
inline constexpr int kExitInternal = 134;  // our own mistake: SIGABRT as a shell shows it

}  // namespace ringshift

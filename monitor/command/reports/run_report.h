// RunReport: the statistics of a run: the host's files for them, opened before that right is given
// up, and the place where they are printed. See docs/usage.md, "Statistics".
#pragma once

#include <cstdio>
#include <memory>

#include "monitor/command/options/options.h"
#include "monitor/command/reports/statistics.h"
#include "monitor/host/sandbox/confinement.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/machine/machine.h"

namespace ringshift {

// Standard error is not closed.
struct CloseUnlessStandard {
  void operator()(std::FILE* file) const {
    if (file != stderr) std::fclose(file);
  }
};
using ReportFile = std::unique_ptr<std::FILE, CloseUnlessStandard>;

// Null with errno.
[[nodiscard]] ReportFile open_report(const RunOptions& options);

// When the program has begun: the time of the first call.
Nanoseconds program_began();

struct RunMeter {
  Nanoseconds started = HostClock::monotonic();
  Nanoseconds guest_began = 0;  // its first instruction
  MemoryCount memory;
  ConfinementOutcome confinement;
};

[[nodiscard]] ProcessFigures measure(Machine& machine, const RunMeter& meter);
// False: a file cannot take them. A user who closes standard error does not want them.
[[nodiscard]] bool print_stats(const RunOptions& options, Machine& machine, const RunMeter& meter,
                               std::FILE* file);
// A file has the newest statistics only; elsewhere they are printed again.
void begin_report_again(const RunOptions& options, std::FILE* file);

}  // namespace ringshift

// Clocks: how a guest's time goes with the host's under each policy (--time): one guest that counts
// ticks, a while in which the host does not run it, a stop. Both clocks that a guest may have, its
// monitor's and its own count, are set beside the host's. See docs/lab.md, docs/time.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

// A moment of a run; all since the run's first, in nanoseconds.
struct ClockSample {
  Nanoseconds host = 0;   // the host's clock
  Nanoseconds clock = 0;  // the guest's, as its devices and kvmclock tell it
  Nanoseconds stamp = 0;  // its time-stamp counter, at the host counter's rate
  Nanoseconds ticks = 0;  // the time that the ticks it has counted stand for
};

struct ClockRun {
  std::string policy;  // as --time has it
  std::vector<ClockSample> samples;
};

struct ClocksReport {
  // Host time of every run: the host does not run the guest; the guest is stopped.
  Nanoseconds stall_begin = 0, stall_end = 0, stop_begin = 0, stop_end = 0, end = 0;
  std::vector<ClockRun> runs;
};

// `config` is of the ticking guest.
[[nodiscard]] bool compare_clocks(const MachineConfig& config, ClocksReport* report,
                                  std::string* error);
[[nodiscard]] std::string clocks_finding(const ClocksReport& report);
[[nodiscard]] std::string clocks_as_text(const ClocksReport& report);
[[nodiscard]] std::string clocks_as_json(const ClocksReport& report);
[[nodiscard]] std::vector<Picture> clocks_pictures(const ClocksReport& report);
[[nodiscard]] std::string clocks_as_html(const ClocksReport& report, Company company);

}  // namespace ringshift::lab

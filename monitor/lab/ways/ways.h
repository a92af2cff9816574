// Ways: the ways past the theorem, measured on one machine by the same operations. A guest that
// does not know of its monitor runs translated and, to show the error, deprivileged; a guest that
// calls its monitor runs translated and deprivileged. How often each has come to the monitor, and
// how long it took. The costs of a processor with a mode for guests are cited, and not measured.
// See docs/lab.md, docs/paravirt.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/ways/ways_guest.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

struct WaysCell {
  bool is_measured = false;
  bool is_right = false;  // the guest found its result, and interrupts are on, as they have
                          // to be after each operation
  double entries = 0;     // to the monitor, for one operation
  double cycles = 0;      // of the host's time-stamp counter, for one; the least of some runs
};

struct Way {
  const char* name;
  const char* engine;   // as --engine has it
  bool calls;           // the guest calls its monitor (--paravirt ringshift)
  std::string problem;  // why it was not measured, or not all of it; empty: it was
  std::array<WaysCell, kWaysOperations.size()> cells;
};

// A cost on processors that have a mode for guests, and nested page tables.
struct CitedCost {
  unsigned exits;
  const char* because;
};

struct WaysReport {
  std::vector<Way> ways;  // the last one is trap-and-emulate, which is wrong
};

// `base` is a machine without a guest. Each run ends by itself or after `seconds`. False with one
// line in *error.
[[nodiscard]] bool measure_ways(const MachineConfig& base, double seconds, WaysReport* report,
                                std::string* error);

[[nodiscard]] const std::array<CitedCost, kWaysOperations.size()>& cited_costs();
[[nodiscard]] std::string ways_finding(const WaysReport& report);
[[nodiscard]] std::string ways_as_text(const WaysReport& report);
[[nodiscard]] std::string ways_as_json(const WaysReport& report);
[[nodiscard]] std::vector<Picture> ways_pictures(const WaysReport& report);
[[nodiscard]] std::string ways_as_html(const WaysReport& report, Company company);

}  // namespace ringshift::lab

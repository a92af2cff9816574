// Three: Popek and Goldberg's three properties as numbers on one run: equivalence, resource
// control, efficiency. See docs/lab.md. Equivalence is measured by Lockstep, control by the refused
// instructions and by the host's own map of us.
#pragma once

#include <string>
#include <vector>

#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/lab/neighbours/neighbours.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

// The translated guest's windows as the host's kernel sees them (/proc/self/maps).
struct WindowAudit {
  uint64_t guest_ram_mappings = 0;
  uint64_t other_mappings = 0;  // readable, writable or executable, and not guest RAM: none allowed
  uint64_t executable = 0;      // guest bytes never run on the host: none allowed
};

struct ThreeReport {
  std::string image, end;
  Difference difference;
  LockstepFigures figures;
  size_t lines = 0;       // the guest has printed
  std::string last_line;  // the last of them
  WindowAudit audit;
  uint64_t unclaimed_accesses = 0;  // ports and addresses nobody has
  uint64_t port_accesses = 0;
  std::vector<NeighbourRun> neighbours;  // of machines of ours; none where an image was given
};

[[nodiscard]] bool measure_three(const MachineConfig& config, const LockstepOptions& options,
                                 ThreeReport* report, std::string* error);
[[nodiscard]] std::string three_finding(const ThreeReport& report);
[[nodiscard]] std::string three_as_text(const ThreeReport& report);
[[nodiscard]] std::string three_as_json(const ThreeReport& report);
[[nodiscard]] std::vector<Picture> three_pictures(const ThreeReport& report);
[[nodiscard]] std::string three_as_html(const ThreeReport& report, Company company);

}  // namespace ringshift::lab

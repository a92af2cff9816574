// MachineFigures: the resources that a machine has used so far, as the host's kernel and the
// machine's own statistics count them. See docs/machines.md, "top".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "devices/bus/virtual_clock.h"
#include "monitor/manager/run_folder.h"

namespace ringshift::manager {

struct MachineFigures {
  Nanoseconds at = 0;      // of the host's monotonic clock
  double processor_s = 0;  // of the machine's process and those below it
  // Figures from the statistics, which may be a look old; nothing: there are none yet.
  std::optional<double> wall_s, held_s, memory_mib, exits;
  std::optional<double> disk_bytes, network_bytes;  // both ways
};

// The processor time of each process of this host, and of those below it: seconds.
class ProcessTimes {
 public:
  // As they are now.
  ProcessTimes();
  [[nodiscard]] double of_tree(int64_t process) const;

 private:
  struct Process {
    int64_t parent = 0;
    double seconds = 0;
  };
  std::map<int64_t, Process> processes_;
};

// text: the statistics as JSON, by a process that a guest may own. False: it is none.
[[nodiscard]] bool read_statistics(const std::string& text, MachineFigures* figures);

// Over the time between two looks. Nothing: there is no telling.
struct MachineRates {
  double processor_percent = 0;  // of one host CPU
  std::optional<double> held_percent, memory_mib, exits_per_s;
  std::optional<double> disk_kib_per_s, network_kib_per_s;
};
[[nodiscard]] MachineRates rates_of(const MachineFigures& before, const MachineFigures& now);

}  // namespace ringshift::manager

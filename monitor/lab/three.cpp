#include "monitor/lab/three.h"

#include <fstream>
#include <sstream>

#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/parts/serial_capture.h"
#include "shadowmmu/base/counters.h"

namespace ringshift::lab {
namespace {

// One line of /proc/self/maps: range, rights, offset, device, inode, name.
void audit_line(const std::string& line, Machine& machine, WindowAudit* audit) {
  std::istringstream words(line);
  uint64_t start = 0;
  char dash = 0;
  std::string end, rights, offset, device, inode, name;
  words >> std::hex >> start >> dash >> end >> rights >> offset >> device >> inode >> name;
  const bool is_window =
      machine.processor().data().window_address(start, Privilege::Supervisor).has_value() ||
      machine.processor().data().window_address(start, Privilege::User).has_value();
  if (!is_window || rights.substr(0, 3) == "---") return;
  if (rights[2] == 'x') ++audit->executable;
  if (name.rfind("/memfd:", 0) == 0) {
    ++audit->guest_ram_mappings;
  } else {
    ++audit->other_mappings;
  }
}

WindowAudit audit_windows(Machine& machine) {
  WindowAudit audit;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) audit_line(line, machine, &audit);
  return audit;
}

}  // namespace

bool measure_three(const MachineConfig& config, const LockstepOptions& options, ThreeReport* report,
                   std::string* error) {
  // Some hundred thousand instructions of the leader's: often enough to say where a difference
  // began, seldom enough to let translated code run.
  constexpr Nanoseconds kComeBy = 500'000;
  LockstepOptions chosen = options;
  chosen.come_by = kComeBy;
  Lockstep lockstep(chosen);
  const SerialCapture serial;
  const uint64_t unclaimed = counters().io_unclaimed;
  const std::unique_ptr<Machine> machine = make_followed(config, serial, &lockstep, error);
  if (machine == nullptr) return false;
  report->end = end_of(machine->run());
  lockstep.finish();
  report->difference = lockstep.difference();
  report->figures = lockstep.figures();
  report->audit = audit_windows(*machine);
  report->unclaimed_accesses = counters().io_unclaimed - unclaimed;
  report->port_accesses = lockstep.port_accesses();
  report->lines = count_lines(serial.text());
  report->last_line = last_line(serial.text());
  return true;
}

}  // namespace ringshift::lab

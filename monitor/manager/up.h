// Up: machines of a file begin, under the manager that is there or a new one; and down, which ends
// all. See docs/machines.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/manager/machines/machine_file.h"
#include "monitor/manager/run_folder.h"

namespace ringshift::manager {

struct UpRequest {
  RunFolder folder;
  std::vector<MachineSpec> machines;
  bool is_foreground = false;  // be the manager
};

// Pre: the current folder is where relative names of the machines begin. The exit code: 0 when all
// are up; a problem has been printed as one line.
[[nodiscard]] int run_up(const UpRequest& request);
// Also without a manager: machines that one has left are adopted first.
[[nodiscard]] int end_all(const RunFolder& folder, unsigned grace_seconds);

}  // namespace ringshift::manager

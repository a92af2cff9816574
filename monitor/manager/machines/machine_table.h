// Machine table: a manager's knowledge of its machines, printed: ps, events, top, and the ends of
// those that were to end. See docs/machines.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/manager/run_folder.h"

namespace ringshift::manager {

// Each: the exit code; a problem has been printed as one line.
[[nodiscard]] int list_machines(const RunFolder& folder, bool as_json);
[[nodiscard]] int print_events(const RunFolder& folder, bool follows);
[[nodiscard]] int show_top(const RunFolder& folder, bool once);

struct EndRequest {
  std::vector<std::string> names;
  bool all = false;
  bool kills = false;    // at once
  unsigned seconds = 0;  // for the guest, after its power button
};
[[nodiscard]] int end_machines(const RunFolder& folder, const EndRequest& request);

}  // namespace ringshift::manager

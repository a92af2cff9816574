// Event options: --action, from its text to the actions when a guest panics or its watchdog runs
// out. See docs/devices.md, "Panics and watchdogs".
#pragma once

#include <string>
#include <vector>

#include "monitor/machine/guest_events.h"

namespace ringshift {

// panic=..., watchdog=... False with one line in *problem.
[[nodiscard]] bool parse_actions(const std::vector<std::string>& items, EventActions* actions,
                                 std::string* problem);

}  // namespace ringshift

// MonitorInfo: the answers to `info TOPIC` of a monitor. See docs/control.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/debug/control_target.h"

namespace ringshift::debug {

// Lines of text; no topic: the list of them.
[[nodiscard]] std::string monitor_info(ControlTarget& target, const std::string& topic);
[[nodiscard]] std::vector<std::string> info_topics();

// As QMP and the monitor spell it: "running", "paused", "debug", "prelaunch".
[[nodiscard]] const char* run_state_name(RunState state);

}  // namespace ringshift::debug

// TravelCommands: the prompt's commands for a replay: its position, and going somewhere else. See
// docs/debugging-backwards.md.
#pragma once

#include <optional>
#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::debug {

// The answer to `position`, and to `goto EVENT`, `goto begin` and `goto end`. Nothing: it is
// another line.
[[nodiscard]] std::optional<std::string> run_travel_line(Machine& machine, const std::string& line);

// One line for each of them.
[[nodiscard]] std::string travel_help();

}  // namespace ringshift::debug

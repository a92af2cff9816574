// MonitorCommands: the commands of QEMU's monitor, as lines: the same words by Ctrl-A c, on a
// monitor's socket and in human-monitor-command. See docs/control.md.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "monitor/debug/control_target.h"

namespace ringshift::debug {

// The answer, as lines of text, empty if there is nothing to say: to one of these commands, or to
// one of commands.h. A line that is not understood is answered in one line.
[[nodiscard]] std::string run_monitor_line(ControlTarget& target, const std::string& line);

// One line for each command, those of commands.h not among them.
[[nodiscard]] std::string monitor_help();

// How a line that begins like this may go on: words of all commands that complete the last word.
[[nodiscard]] std::vector<std::string> completions(ControlTarget& target, const std::string& line);

}  // namespace ringshift::debug

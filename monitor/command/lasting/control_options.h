// ControlOptions: --qmp, --monitor and their relatives, from the words of the command line to the
// wanted sockets. See docs/control.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/control/control_request.h"

namespace CLI {
class App;
}

namespace ringshift {

struct ControlOptions {
  // As typed: unix:PATH or tcp:[HOST]:PORT, then server=on|off, wait=on|off.
  std::vector<std::string> qmp, qmp_pretty, monitor;
  std::string name;    // of the machine, for people; empty: none
  std::string folder;  // where clients may have files read and written; empty: nowhere
  // Filled in by finish_control_options.
  std::vector<control::ControlRequest> requests;
};

void add_control_options(CLI::App& command, ControlOptions* options);
// False with one line in *problem for a value that makes no sense.
[[nodiscard]] bool finish_control_options(ControlOptions* options, std::string* problem);

}  // namespace ringshift

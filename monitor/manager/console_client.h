// ConsoleClient: this terminal (or pipe) at a machine's console, until Ctrl-] or the machine's end;
// and a machine's log as text. See docs/machines.md.
#pragma once

#include <string>

#include "monitor/manager/run_folder.h"

namespace ringshift::manager {

// The exit code; a problem has been printed as one line.
[[nodiscard]] int be_at_console(const std::string& name, const MachineFolder& folder);

enum class Follow { No, UntilItEnds };
[[nodiscard]] int print_log(const std::string& name, const MachineFolder& folder, Follow follow);

}  // namespace ringshift::manager

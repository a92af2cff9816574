// Port options: --serial, --serial2, --debugcon, --virtio-console: where what the guest prints
// goes. False with one line in *problem. See docs/usage.md.
#pragma once

#include <string>

#include "monitor/command/options.h"

namespace ringshift {

[[nodiscard]] bool apply_serial(const std::string& text, MachineConfig* machine,
                                std::string* problem);
[[nodiscard]] bool apply_other_ports(RunOptions* options, std::string* problem);
// The terminal is the serial port's or the virtio console's.
[[nodiscard]] bool apply_virtio_console(const RunOptions& options, MachineConfig* machine,
                                        std::string* problem);

}  // namespace ringshift

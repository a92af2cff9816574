// Port options: --serial, --serial2, --debugcon, --virtio-console: the places of the guest's
// printed output and typed input. False with one line in *problem. See docs/usage.md.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "monitor/command/options/options.h"

namespace ringshift {

[[nodiscard]] bool apply_ports(RunOptions* options, std::string* problem);
// The terminal is the serial port's or the virtio console's.
[[nodiscard]] bool has_one_terminal(const RunOptions& options, std::string* problem);

// The place that each port leads to, in PortsConfig or const PortsConfig.
template <typename Ports>
[[nodiscard]] auto all_ports(Ports& ports) {
  return std::array{&ports.serial, &ports.second_serial, &ports.debug_console,
                    &ports.virtio_console};
}

// The sockets that the ports lead to, open from before the first machine to the end of the run.
class RunPorts {
 public:
  // Waits for peers, where the command line says so; not if the guest is somebody else's yet.
  [[nodiscard]] bool open(PortsConfig* ports, bool waits, std::string* error);

 private:
  std::vector<std::unique_ptr<PortSocket>> sockets_;
};

}  // namespace ringshift

// DebugPorts: debug exit (0xf4), debug console (0xe9), POST code (0x80), I/O delay (0xed). Owns:
// the stored codes. Does not own: the console backend. See docs/devices.md.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/byte_ports.h"
#include "devices/chips/serial_backend.h"

namespace ringshift {

class StateArchive;

class DebugPorts {
 public:
  // on_exit gets (value << 1) | 1, cut to a byte: odd, so that it is never a success code.
  DebugPorts(SerialBackend* console, std::function<void(uint8_t)> on_exit);

  [[nodiscard]] PortDevice& exit_port() { return exit_port_; }        // 0xf4
  [[nodiscard]] PortDevice& console_port() { return console_port_; }  // 0xe9
  [[nodiscard]] PortDevice& post_port() { return post_port_; }        // 0x80
  [[nodiscard]] PortDevice& delay_port() { return delay_port_; }      // 0xed
  [[nodiscard]] uint8_t post_code() const { return post_code_; }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  SerialBackend* console_;
  std::function<void(uint8_t)> on_exit_;
  uint8_t post_code_ = 0;
  PortWindow exit_port_;
  PortWindow console_port_;
  PortWindow post_port_;
  PortWindow delay_port_;
};

}  // namespace ringshift

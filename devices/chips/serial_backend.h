// SerialBackend: the receiver of the bytes that a serial port or a debug console sends. Implemented
// by: host_console, tests. See docs/devices.md.
#pragma once

#include <cstdint>

namespace ringshift {

class SerialBackend {
 public:
  virtual ~SerialBackend() = default;
  virtual void transmit(uint8_t byte) = 0;
};

}  // namespace ringshift

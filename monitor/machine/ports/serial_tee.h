// SerialTee: hands on a serial port's output, and gives a page that controls the machine the same.
// Does not own: either. See docs/screen.md.
#pragma once

#include "devices/chips/serial_backend.h"
#include "devices/host/control_port.h"

namespace ringshift {

class SerialTee final : public SerialBackend {
 public:
  SerialTee(SerialBackend& to, ControlPort& control) : to_(to), control_(control) {}

  void transmit(uint8_t byte) override {
    to_.transmit(byte);
    control_.transmit(byte);
  }

 private:
  SerialBackend& to_;
  ControlPort& control_;
};

}  // namespace ringshift

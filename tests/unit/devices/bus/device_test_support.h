// Helpers of the device tests: a wire that counts its edges, and byte access to a device's ports.
#pragma once

#include <cstdint>
#include <string>

#include "devices/bus/device.h"
#include "devices/chips/serial_backend.h"
#include "devices/interrupts/interrupt_line.h"

namespace ringshift {

class RecordingLine final : public InterruptLine {
 public:
  void set_level(bool asserted) override {
    if (asserted && !level) ++rising_edges;
    level = asserted;
  }
  bool level = false;
  int rising_edges = 0;
};

// A wire and a serial line whose state lies elsewhere, as a value.
struct WireState {
  bool level = false;
  int rising_edges = 0;
  bool operator==(const WireState&) const = default;
};
class OutsideLine final : public InterruptLine {
 public:
  explicit OutsideLine(WireState& state) : state_(state) {}
  void set_level(bool asserted) override {
    if (asserted && !state_.level) ++state_.rising_edges;
    state_.level = asserted;
  }

 private:
  WireState& state_;
};

class RecordingBackend final : public SerialBackend {
 public:
  void transmit(uint8_t byte) override { text += static_cast<char>(byte); }
  std::string text;
};

inline uint8_t in8(PortDevice& device, unsigned offset) {
  return static_cast<uint8_t>(device.read(static_cast<uint16_t>(offset), AccessWidth::Byte));
}

inline void out8(PortDevice& device, unsigned offset, unsigned value) {
  device.write(static_cast<uint16_t>(offset), AccessWidth::Byte, value & 0xff);
}

}  // namespace ringshift

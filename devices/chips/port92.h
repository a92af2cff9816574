// Port92: system control port A: the fast A20 gate and the fast reset. Owns: the register. Does not
// own: the gate. See docs/devices.md; PS/2 technical reference, "System control port A"; PIIX
// datasheet.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/byte_ports.h"
#include "devices/chips/a20_gate.h"

namespace ringshift {

class StateArchive;

class Port92 final : public BytePorts {
 public:
  Port92(A20Gate& a20, std::function<void()> on_reset);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 protected:
  [[nodiscard]] uint8_t read_byte(uint16_t offset) override;
  void write_byte(uint16_t offset, uint8_t value) override;

 private:
  A20Gate& a20_;
  std::function<void()> on_reset_;
  uint8_t value_ = 0;
};

}  // namespace ringshift

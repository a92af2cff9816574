// CoprocessorError: the circuit of a PC between the processor's FERR# pin and interrupt 13: a latch
// that port 0xf0 clears, and the IGNNE# pin that it drives then, until the processor takes FERR#
// back. It matters while CR0.NE is clear. Owns: the latch. See docs/devices.md; SDM 1 8.7.2, SDM 3A
// 2.5; Intel 290550 (PIIX3), "Coprocessor Error Register".
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "devices/bus/byte_ports.h"
#include "devices/interrupts/interrupt_line.h"

namespace ringshift {

class StateArchive;

class CoprocessorError final : public BytePorts {
 public:
  explicit CoprocessorError(InterruptLine& irq13) : irq_(irq13) {}

  // ---- the processor's pins ----
  // FERR#: an unmasked x87 error is pending, and an instruction has come that waits for it.
  void raise();
  // FERR# is not asserted any more.
  void error_gone() { is_ignored_ = false; }
  // IGNNE#: instructions that would wait do not.
  [[nodiscard]] bool is_ignored() const { return is_ignored_; }
  // Called when is_ignored() becomes true, inside a port write; must only take note.
  void set_on_ignored(std::function<void()> on_ignored) { on_ignored_ = std::move(on_ignored); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 protected:
  [[nodiscard]] uint8_t read_byte(uint16_t) override { return 0xff; }
  void write_byte(uint16_t offset, uint8_t value) override;

 private:
  InterruptLine& irq_;
  std::function<void()> on_ignored_;
  bool is_raised_ = false;  // the latch: interrupt 13 is asked for
  bool is_ignored_ = false;
};

}  // namespace ringshift

// I8042: the keyboard controller, the keyboard on its first port, the mouse on its second, and the
// A20 and reset wires. Owns: command byte, output buffer, keyboard, mouse. Does not own: the A20
// gate, the interrupt lines. See docs/devices.md; IBM PS/2 technical reference, "Keyboard/auxiliary
// device controller".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "devices/bus/byte_ports.h"
#include "devices/chips/a20_gate.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/interrupts/interrupt_line.h"

namespace ringshift {

class StateArchive;

class I8042 {
 public:
  I8042(InterruptLine& irq1, InterruptLine& irq12, A20Gate& a20, std::function<void()> on_reset);

  [[nodiscard]] PortDevice& data_port() { return data_port_; }        // 0x60
  [[nodiscard]] PortDevice& command_port() { return command_port_; }  // 0x64
  // Key codes of scan code set 2, as the keyboard sends them. Returns how many were accepted.
  size_t inject_scancodes(std::span<const uint8_t> codes);
  void move_mouse(const MouseMotion& motion);
  // The guest has read all that the keyboard had to say.
  [[nodiscard]] bool keys_taken() const { return !output_full_ && !keyboard_.has_output(); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] uint8_t read_data();
  void write_data(uint8_t value);
  [[nodiscard]] uint8_t read_status() const;
  void write_command(uint8_t command);
  bool write_ranged_command(uint8_t command);
  void write_output_port(uint8_t value);
  [[nodiscard]] uint8_t read_output_port() const;
  void reply(uint8_t value);
  void put_output(uint8_t value, bool is_mouse);
  void fill_output();
  [[nodiscard]] uint8_t translated(uint8_t code);
  void update_irq();
  void reset() const {
    if (on_reset_) on_reset_();
  }

  InterruptLine& irq1_;
  InterruptLine& irq12_;
  A20Gate& a20_;
  std::function<void()> on_reset_;
  Ps2Keyboard keyboard_;
  Ps2Mouse mouse_;
  uint8_t memory_[32] = {};      // byte 0 is the command byte
  uint8_t pending_command_ = 0;  // a command that waits for its byte at port 0x60
  uint8_t output_ = 0;
  bool output_full_ = false;
  bool output_raises_irq_ = false;
  bool output_is_mouse_ = false;
  bool last_write_was_command_ = false;
  bool break_prefix_ = false;  // translation: F0 seen, the next code is a release
  PortWindow data_port_;
  PortWindow command_port_;
};

}  // namespace ringshift

// Uart16550: a 16550A serial port with its FIFOs. Owns: registers, receive FIFO. Does not own: the
// backend, the interrupt line. Keeps: D2. See docs/devices.md; National Semiconductor PC16550D
// datasheet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <utility>

#include "devices/bus/byte_ports.h"
#include "devices/bus/virtual_clock.h"
#include "devices/chips/serial_backend.h"
#include "devices/interrupts/interrupt_line.h"

namespace ringshift {

class StateArchive;

class Uart16550 final : public BytePorts {
 public:
  // backend may be null: transmitted bytes vanish.
  Uart16550(VirtualClock& clock, InterruptLine& irq, SerialBackend* backend);

  // Bytes from the other end of the line. Returns how many were accepted; the caller keeps the rest
  // and offers it again when on_room is called. Nothing is accepted in loopback mode.
  [[nodiscard]] size_t receive(std::span<const uint8_t> bytes);
  // Called when the guest has emptied the receiver or has begun to listen, from inside its register
  // access.
  void set_on_room(std::function<void()> on_room) { on_room_ = std::move(on_room); }
  // Would the guest see what comes in? It has enabled the interrupt for received data, or looks for
  // it again and again. While it does not, received bytes are lost to a driver that sets the port
  // up and empties it: a sender that can wait should wait.
  [[nodiscard]] bool is_listening() const {
    return (interrupt_enable_ & 1) != 0 || looks_ >= kLooksOfAListener;
  }

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);

 protected:
  [[nodiscard]] uint8_t read_byte(uint16_t offset) override;
  void write_byte(uint16_t offset, uint8_t value) override;

 private:
  // A look is a read of the line status, or of the receiver while it is empty. Some of a kind one
  // directly after another are enough: a driver that prints looks once, and sends, and Linux looks
  // twice while it sets the port up. A driver that always does something else in between has looked
  // often enough after kLooksOfAListener.
  static constexpr unsigned kLooksOfAListener = 1000, kLooksInARow = 8;
  static constexpr size_t kFifoBytes = 16;
  static constexpr uint16_t kNothing = 8;  // no register's number

  [[nodiscard]] bool divisor_access() const { return (line_control_ & 0x80) != 0; }
  [[nodiscard]] bool loopback() const { return (modem_control_ & 0x10) != 0; }
  [[nodiscard]] size_t capacity() const { return fifo_enabled_ ? kFifoBytes : 1; }
  [[nodiscard]] size_t trigger_level() const;
  [[nodiscard]] Nanoseconds character_time() const;

  void note_look(uint16_t offset);
  void note_set_up();
  void take_back();
  void bring_again();
  void push_received(uint8_t byte);
  [[nodiscard]] uint8_t pop_received();
  void clear_receiver();
  void restart_timeout();
  void transmit(uint8_t byte);
  void write_interrupt_enable(uint8_t value);
  void write_fifo_control(uint8_t value);
  void write_modem_control(uint8_t value);
  [[nodiscard]] uint8_t modem_lines() const;
  [[nodiscard]] uint8_t pending_interrupt() const;  // the low four bits of IIR
  [[nodiscard]] uint8_t read_interrupt_identity();
  [[nodiscard]] uint8_t read_line_status();
  [[nodiscard]] uint8_t read_modem_status();
  void update_irq();

  VirtualClock& clock_;
  InterruptLine& irq_;
  SerialBackend* backend_;
  std::function<void()> on_room_;
  std::deque<uint8_t> received_;
  std::deque<uint8_t> returned_;  // from the receiver, cleared unread: comes in again
  uint16_t divisor_ = 12;         // 9,600 baud
  uint8_t last_received_ = 0;
  uint8_t interrupt_enable_ = 0;
  uint8_t line_control_ = 0;
  uint8_t modem_control_ = 0;
  uint8_t modem_deltas_ = 0;
  uint8_t scratch_ = 0;
  uint8_t trigger_select_ = 0;
  unsigned looks_ = 0;             // since the port was last set up
  uint16_t looked_at_ = kNothing;  // the register, if the guest's last access was a look
  unsigned looks_in_a_row_ = 0;    // at that register
  bool holds_own_bytes_ = false;   // some bytes in the receiver were sent in loopback mode
  bool fifo_enabled_ = false;
  bool overrun_ = false;
  bool transmitter_empty_event_ = false;  // the THRE interrupt has not been answered yet
  bool timeout_event_ = false;
  ClockTimer timeout_;
};

}  // namespace ringshift

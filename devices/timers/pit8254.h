// Pit8254: the interval timer of a PC and the port 0x61 that gates its speaker channel. Owns: three
// counters, the timer that delivers IRQ 0. Does not own: the clock, the interrupt line. Keeps: D2.
// See docs/devices.md; Intel 8254 datasheet 231164; PC/AT technical reference for port 0x61.
#pragma once

#include <array>
#include <cstdint>

#include "devices/bus/byte_ports.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/timers/pit_counter.h"
#include "devices/timers/tick_rate.h"

namespace ringshift {

class StateArchive;

inline constexpr int64_t kPitHertz = 1193182;

class Pit8254 {
 public:
  Pit8254(VirtualClock& clock, InterruptLine& irq0);

  [[nodiscard]] PortDevice& timer_ports() { return timer_ports_; }      // 0x40-0x43
  [[nodiscard]] PortDevice& system_control_port() { return port_61_; }  // 0x61

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] int64_t tick_now();
  [[nodiscard]] uint8_t read_timer(uint16_t offset);
  void write_timer(uint16_t offset, uint8_t value);
  void write_control(uint8_t value);
  void read_back(uint8_t command);
  [[nodiscard]] uint8_t read_port_61();
  void write_port_61(uint8_t value);
  void reschedule();
  void arm_for(std::optional<int64_t> edge);
  void on_edge_due();
  [[nodiscard]] Nanoseconds catch_up_pause_to(int64_t next) const;

  VirtualClock& clock_;
  InterruptLine& irq0_;
  TickRate rate_{kPitHertz};
  std::array<PitCounter, 3> counters_;
  uint8_t port_61_bits_ = 0;  // the four writable bits
  int64_t edge_tick_ = 0;     // the edge the timer is armed for
  ClockTimer timer_;
  PortWindow timer_ports_;
  PortWindow port_61_;
};

}  // namespace ringshift

// RtcCmos: the MC146818 clock and the 128 bytes of CMOS memory behind ports 0x70 and 0x71. Owns:
// the calendar, its interrupt flags, the memory. Does not own: the clock that drives it. Keeps: D2.
// See docs/devices.md; Motorola MC146818A datasheet; PC/AT technical reference for the CMOS map.
#pragma once

#include <array>
#include <cstdint>

#include "devices/bus/byte_ports.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/timers/tick_rate.h"

namespace ringshift {

class StateArchive;

class RtcCmos final : public BytePorts {
 public:
  // epoch_seconds: UTC seconds since 1970 at virtual time zero.
  RtcCmos(VirtualClock& clock, InterruptLine& irq8, int64_t epoch_seconds);

  // Fills the memory size fields as a BIOS would have.
  void set_memory_size(uint64_t ram_bytes);
  // CMOS memory behind the clock's fourteen registers. Pre: 14 <= index < 128.
  void set_byte(unsigned index, uint8_t value);

  static constexpr unsigned kStateVersion = 3;
  void visit_state(StateArchive& archive);

 protected:
  [[nodiscard]] uint8_t read_byte(uint16_t offset) override;
  void write_byte(uint16_t offset, uint8_t value) override;

 private:
  [[nodiscard]] uint8_t read_register(unsigned index);
  void write_register(unsigned index, uint8_t value);
  void write_a(uint8_t value);
  void write_b(uint8_t value);

  // The divider chain runs (DV) and its output is let through to the registers (SET).
  [[nodiscard]] bool divider_running() const;
  [[nodiscard]] bool updating() const;
  [[nodiscard]] Nanoseconds chain_time();  // time of the divider chain since start
  [[nodiscard]] int64_t seconds_now();     // calendar time
  [[nodiscard]] bool update_in_progress();
  void calendar_to_registers();
  void registers_to_calendar();
  [[nodiscard]] uint8_t encode(unsigned value) const;
  [[nodiscard]] unsigned decode(uint8_t value) const;
  [[nodiscard]] uint8_t encode_hour(unsigned hour) const;
  [[nodiscard]] unsigned decode_hour(uint8_t value) const;

  // Brings the flags of register C up to date, then the wire and the timer.
  void catch_up();
  void update_irq();
  void arm_timer();
  // Periods that have no interrupt yet will have one each, and are not flagged together.
  [[nodiscard]] bool owes_periods() const;
  void forget_owed();
  void give_owed_period();
  [[nodiscard]] int64_t periodic_ticks() const;  // of 32,768 Hz; 0: none
  [[nodiscard]] bool alarm_between(int64_t after, int64_t until) const;
  [[nodiscard]] bool alarm_matches(int64_t seconds) const;

  VirtualClock& clock_;
  InterruptLine& irq_;
  std::array<uint8_t, 128> bytes_{};
  uint8_t index_ = 0;
  int64_t base_seconds_;           // calendar seconds at chain time zero
  uint8_t weekday_ahead_ = 0;      // of the weekday that the date has: 0 to 6
  Nanoseconds phase_ = 0;          // chain time minus virtual time
  Nanoseconds last_catch_up_ = 0;  // chain time up to which the flags are right
  int64_t owed_ = 0;  // periods that are over and have had no interrupt (MissedTicks::MakeUp)
  Nanoseconds give_from_ = 0;  // chain time before which none of them has one
  ClockTimer timer_;
};

}  // namespace ringshift

// Hpet: a 64-bit counter that programs read in memory, and three comparators that interrupt. Owns:
// the counter's offset, the comparators. Does not own: the I/O APIC inputs they drive. Keeps: D2.
// There is no legacy replacement routing, which the capability register says. See docs/devices.md;
// IA-PC HPET Specification 1.0a.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "devices/bus/device.h"
#include "devices/bus/virtual_clock.h"

namespace ringshift {

class StateArchive;

inline constexpr uint64_t kHpetBase = 0xfed00000;
inline constexpr uint64_t kHpetBytes = 0x1000;

class Hpet final : public MemoryDevice {
 public:
  // set_input: an input of the I/O APIC and the level on its wire.
  Hpet(VirtualClock& clock, std::function<void(unsigned, bool)> set_input);

  [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
  void write(uint64_t offset, AccessWidth width, uint32_t value) override;

  static constexpr uint64_t kPeriodFemtoseconds = 10'000'000;  // 100 MHz
  static constexpr Nanoseconds kPeriod = 10;
  static constexpr unsigned kTimers = 3;

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Timer {
    Timer(Hpet& hpet, unsigned index);
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
    uint64_t config = 0;
    uint64_t comparator = 0;
    uint64_t period = 0;
    ClockTimer timer;
  };

  [[nodiscard]] static unsigned route_of(const Timer& timer);
  [[nodiscard]] static bool is_routable(uint64_t route);
  [[nodiscard]] bool running() const;
  [[nodiscard]] uint64_t counter();
  [[nodiscard]] uint64_t read_register(uint64_t at);
  void write_register(uint64_t at, uint64_t value, uint64_t mask);
  void write_timer(unsigned index, unsigned what, uint64_t value, uint64_t mask);
  void write_general(uint64_t value);
  void write_status(uint64_t cleared);
  void on_due(unsigned index);
  void schedule(unsigned index);
  void set_wire(unsigned index);

  VirtualClock& clock_;
  std::function<void(unsigned, bool)> set_input_;
  uint64_t general_ = 0;
  uint64_t status_ = 0;
  uint64_t halted_at_ = 0;      // the count when it stood still last
  Nanoseconds started_at_ = 0;  // and when it began to run from there
  std::array<Timer, kTimers> timers_;
};

}  // namespace ringshift

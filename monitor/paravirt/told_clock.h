// ToldClock: time as a guest computes it from its time-stamp counter and three numbers that it is
// told: a count, the time at that count, and the counter's rate. Owns: these. The arithmetic is
// that of struct pvclock_vcpu_time_info (Linux, Documentation/virt/kvm/x86/msr.rst).
#pragma once

#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

// Nanoseconds of `ticks` are ((ticks shifted left by `shift`) * multiplier) >> 32; a negative shift
// is one to the right.
struct TickScale {
  uint32_t multiplier = 0;
  int8_t shift = 0;
  // The scale of a counter that ticks `hertz` times a second. Pre: hertz is not zero.
  [[nodiscard]] static TickScale of(uint64_t hertz);
  [[nodiscard]] uint64_t nanoseconds(uint64_t ticks) const;
};

class ToldClock {
 public:
  // The time is `time` when the counter has `time_stamp`.
  ToldClock(uint64_t hertz, uint64_t time_stamp, uint64_t time)
      : scale_(TickScale::of(hertz)), time_stamp_(time_stamp), time_(time) {}

  // The time, in nanoseconds, that a guest computes when it reads its counter now. A counter that
  // is before time_stamp() has not ticked yet.
  [[nodiscard]] uint64_t at(uint64_t time_stamp) const {
    return time_ + (time_stamp > time_stamp_ ? scale_.nanoseconds(time_stamp - time_stamp_) : 0);
  }
  void begin_again(uint64_t time_stamp, uint64_t time) {
    time_stamp_ = time_stamp;
    time_ = time;
  }
  [[nodiscard]] const TickScale& scale() const { return scale_; }
  [[nodiscard]] uint64_t time_stamp() const { return time_stamp_; }
  [[nodiscard]] uint64_t time() const { return time_; }

 private:
  TickScale scale_;
  uint64_t time_stamp_;
  uint64_t time_;  // nanoseconds
};

}  // namespace ringshift

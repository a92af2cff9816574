// TickRate: exact conversion between virtual nanoseconds and the ticks of an oscillator. Keeps: D2.
// Seconds and the rest are converted apart, so that a machine may run for years without overflow.
#pragma once

#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

inline constexpr Nanoseconds kNanosecondsPerSecond = 1'000'000'000;

class TickRate {
 public:
  constexpr explicit TickRate(int64_t hertz) : hertz_(hertz) {}
  // Ticks completed at `time`. Pre: time >= 0.
  [[nodiscard]] constexpr int64_t ticks_at(Nanoseconds time) const {
    return time / kNanosecondsPerSecond * hertz_ +
           time % kNanosecondsPerSecond * hertz_ / kNanosecondsPerSecond;
  }
  // The first nanosecond at which `ticks` ticks are complete. Pre: ticks >= 0.
  [[nodiscard]] constexpr Nanoseconds time_of(int64_t ticks) const {
    return ticks / hertz_ * kNanosecondsPerSecond +
           (ticks % hertz_ * kNanosecondsPerSecond + hertz_ - 1) / hertz_;
  }

 private:
  int64_t hertz_;
};

}  // namespace ringshift

// TimePolicy: how a guest's time goes with the host's (--time). TimeScale: the rate of the one to
// the other, exact enough for years. Pure. See docs/time.md.
#pragma once

#include <algorithm>
#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

// Guest time passed for host time passed, in units of 2^-32.
class TimeScale {
 public:
  constexpr TimeScale() = default;
  // Pre: kLeast <= factor <= kMost.
  explicit constexpr TimeScale(double factor)
      : ratio_(static_cast<uint64_t>(factor * static_cast<double>(kOne))) {}
  static constexpr double kLeast = 0.01, kMost = 100;

  [[nodiscard]] constexpr bool is_one() const { return ratio_ == kOne; }
  [[nodiscard]] constexpr double factor() const {
    return static_cast<double>(ratio_) / static_cast<double>(kOne);
  }
  // Converts a count that only grows, as the host's time-stamp counter does.
  [[nodiscard]] constexpr uint64_t to_guest(uint64_t count) const {
    return static_cast<uint64_t>(static_cast<Wide>(count) * ratio_ >> 32);
  }
  // Converts a time, which may be negative.
  [[nodiscard]] constexpr Nanoseconds to_guest(Nanoseconds time) const {
    return clamped(static_cast<SignedWide>(time) * ratio_ >> 32);
  }
  // The least host time of which to_guest() is not less than this.
  [[nodiscard]] constexpr Nanoseconds to_host(Nanoseconds time) const {
    const SignedWide ratio = ratio_;
    const SignedWide wide = static_cast<SignedWide>(time) * kOne;
    return clamped(wide > 0 ? (wide + ratio - 1) / ratio : wide / ratio);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  __extension__ using SignedWide = __int128;
  // No machine runs for longer, and sums of two stay in range.
  [[nodiscard]] static constexpr Nanoseconds clamped(SignedWide time) {
    return static_cast<Nanoseconds>(
        std::clamp<SignedWide>(time, -SignedWide{kLongestRun}, SignedWide{kLongestRun}));
  }
  static constexpr uint64_t kOne = uint64_t{1} << 32;
  uint64_t ratio_ = kOne;
};

struct TimePolicy {
  MissedTicks missed_ticks = MissedTicks::Usual;
  // While the guest is stopped, by us or by a debugger, time passes for it.
  bool passes_in_stops = false;
  TimeScale scale{};
};

}  // namespace ringshift

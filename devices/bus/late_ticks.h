// LateTicks: the policy for periods of a timer that a late virtual CPU has missed, and the rate at
// which they may be made up. See docs/time.md.
#pragma once

#include <algorithm>
#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

// A timer that makes periods up comes at most so many times as often as the guest asked for, and at
// most once in so long: the guest's work besides its ticks goes on.
inline constexpr int64_t kMostCatchUp = 16;
inline constexpr Nanoseconds kShortestCatchUp = 50'000;

// The time between two ticks of a timer that is behind. A timer that is faster than
// kShortestCatchUp stays as far behind as it is.
[[nodiscard]] constexpr Nanoseconds catch_up_pause(Nanoseconds period) {
  return std::min(period, std::max(period / kMostCatchUp, kShortestCatchUp));
}

}  // namespace ringshift

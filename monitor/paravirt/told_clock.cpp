#include "monitor/paravirt/told_clock.h"

namespace ringshift {

// The multiplier takes all of its 32 bits: it is exact to one part in two thousand million.
TickScale TickScale::of(uint64_t hertz) {
  constexpr uint64_t kNanosecondsASecond = 1'000'000'000;
  TickScale scale;
  while (hertz <= kNanosecondsASecond) {
    hertz <<= 1;
    ++scale.shift;
  }
  while (hertz > 2 * kNanosecondsASecond) {
    hertz >>= 1;
    --scale.shift;
  }
  scale.multiplier = static_cast<uint32_t>((kNanosecondsASecond << 32) / hertz);
  return scale;
}

uint64_t TickScale::nanoseconds(uint64_t ticks) const {
  const uint64_t shifted =
      shift < 0 ? ticks >> static_cast<unsigned>(-shift) : ticks << static_cast<unsigned>(shift);
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((Wide{shifted} * multiplier) >> 32);
}

}  // namespace ringshift

// TokenBucket: limits a rate. It holds room for bytes, which grows with time up to a bound and
// shrinks by each move. Pure: the caller tells it the time and the bytes. A move is never cut: it
// may take more than there is, and the next one waits the longer. See docs/machines.md, "Limits".
#pragma once

#include <algorithm>
#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class TokenBucket {
 public:
  // In nanoseconds, on any clock that does not go back. Room that is not used is kept for so long.
  static constexpr Nanoseconds kWindow = 100'000'000;

  // bytes_per_second: not 0, at most 1 TiB.
  explicit TokenBucket(uint64_t bytes_per_second) : rate_(static_cast<double>(bytes_per_second)) {}

  // How long nothing is to move from `now` on; 0: something may.
  [[nodiscard]] Nanoseconds due(Nanoseconds now) {
    fill(now);
    return room_ > 0 ? 0 : static_cast<Nanoseconds>((1 - room_) / rate_ * kSecond) + 1;
  }
  void take(uint64_t bytes) { room_ -= static_cast<double>(bytes); }

 private:
  void fill(Nanoseconds now) {
    if (!has_begun_) {
      has_begun_ = true;
      at_ = now;
      room_ += most();
    }
    const Nanoseconds passed = std::max<Nanoseconds>(now - at_, 0);
    at_ += passed;
    room_ = std::min(room_ + rate_ * static_cast<double>(passed) / kSecond, most());
  }
  [[nodiscard]] double most() const { return rate_ * static_cast<double>(kWindow) / kSecond; }

  static constexpr double kSecond = 1e9;
  double rate_;  // bytes a second
  double room_ = 0;
  bool has_begun_ = false;
  Nanoseconds at_ = 0;  // of the last look
};

}  // namespace ringshift

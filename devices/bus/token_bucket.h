// TokenBucket: how much may move in a time: room for bytes, which grows with time up to a bound and
// shrinks with what moves. Pure: it is told both. What moves is never cut: it may take more than
// there is, and what comes next waits the longer. See docs/machines.md, "Limits".
#pragma once

#include <algorithm>
#include <cstdint>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class TokenBucket {
 public:
  // Of any clock that does not go back. What is not used is kept for so long.
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

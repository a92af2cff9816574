// CpuLimit: how much of a host CPU a virtual CPU may use, and how long it has to stand still for
// that. Owns: the budget, which grows with the host's time and shrinks with the processor time
// used. Pure: it is told both. See docs/machines.md, "Limits".
#pragma once

#include <algorithm>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class CpuLimit {
 public:
  // percent: 1 to 100, of one host CPU.
  explicit CpuLimit(unsigned percent) : percent_(percent) {}

  // At a safe point. now: the host's monotonic time; used: processor time so far, never less than
  // before. How long the virtual CPU is to stand still from now on; 0: it may run.
  [[nodiscard]] Nanoseconds due(Nanoseconds now, Nanoseconds used);
  // How long it may run after that, if it does nothing else, before it is to be asked again.
  [[nodiscard]] Nanoseconds until_next_look() const;

  void note_held(Nanoseconds time) { held_ += std::max<Nanoseconds>(time, 0); }
  // How long it has stood still for this.
  [[nodiscard]] Nanoseconds held() const { return held_; }

  // Unused time is kept for so long: over any time t, the guest uses no more than the limit's share
  // of t + kWindow, plus the time by which one look is late.
  static constexpr Nanoseconds kWindow = 100'000'000;
  // The guest stands still for at least so long: a shorter sleep would cost more than it saves.
  static constexpr Nanoseconds kShortestHold = 10'000'000;

 private:
  [[nodiscard]] Nanoseconds share_of(Nanoseconds time) const { return time * percent_ / 100; }
  // The time in which the budget grows by this much.
  [[nodiscard]] Nanoseconds time_for(Nanoseconds used) const { return used * 100 / percent_; }

  Nanoseconds percent_;
  bool has_begun_ = false;
  Nanoseconds at_ = 0;    // of the last call
  Nanoseconds used_ = 0;  // then
  Nanoseconds budget_ = 0;
  Nanoseconds held_ = 0;
};

}  // namespace ringshift

#include "monitor/vcpu/cpu_limit.h"

#include <utility>

namespace ringshift {

Nanoseconds CpuLimit::due(Nanoseconds now, Nanoseconds used) {
  if (!std::exchange(has_begun_, true)) {
    at_ = now;
    used_ = used;
    budget_ = share_of(kShortestHold);
  }
  constexpr Nanoseconds kDay = 86'400'000'000'000;  // the product with a percentage is in range
  const Nanoseconds passed = std::clamp<Nanoseconds>(now - at_, 0, kDay);
  const Nanoseconds spent = std::max<Nanoseconds>(used - used_, 0);
  at_ = now;
  used_ = used;
  budget_ = std::min(budget_ + share_of(passed) - spent, share_of(kWindow));
  if (budget_ > 0) return 0;
  return std::max(time_for(share_of(kShortestHold) - budget_), kShortestHold);
}

Nanoseconds CpuLimit::until_next_look() const {
  constexpr Nanoseconds kSoonest = 500'000, kLatest = 20'000'000;
  const Nanoseconds drain = 100 - percent_;  // of the budget, in per cent of the time it runs
  if (drain <= 0) return kLatest;
  return std::clamp(std::max<Nanoseconds>(budget_, 0) * 100 / drain, kSoonest, kLatest);
}

}  // namespace ringshift

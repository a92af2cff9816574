#include "monitor/replay/kept_states.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ringshift {

uint64_t KeptStates::bytes() const {
  uint64_t sum = uint64_t{*pages_} * kPageSize;
  for (const Kept& kept : all_) sum += kept.moment != nullptr ? kept.moment->bytes() : 0;
  return sum;
}

const KeptStates::Kept& KeptStates::before(uint64_t events) const {
  const auto behind = std::ranges::lower_bound(
      all_, events, {}, [](const Kept& kept) { return kept.place.at.events; });
  return behind == all_.begin() ? all_.front() : *std::prev(behind);
}

const KeptStates::Kept* KeptStates::after(uint64_t events) const {
  const auto behind = std::ranges::upper_bound(
      all_, events, {}, [](const Kept& kept) { return kept.place.at.events; });
  return behind == all_.end() ? nullptr : &*behind;
}

// Without a state the way from the one before it to the one after it is longer: it counts for less
// the further that is away.
size_t KeptStates::least_missed(size_t here) const {
  size_t least = 0;
  double least_cost = INFINITY;
  for (size_t i = 1; i < all_.size(); ++i) {
    if (i == here) continue;
    const Nanoseconds next = i + 1 < all_.size() ? all_[i + 1].work : all_[i].work;
    const auto gap = static_cast<double>(next - all_[i - 1].work);
    const auto away = static_cast<double>(std::abs(all_[here].work - all_[i].work));
    const double cost = gap / (away + 1);
    if (cost >= least_cost) continue;
    least = i;
    least_cost = cost;
  }
  return least;
}

void KeptStates::add(Kept kept) {
  const auto behind = std::ranges::lower_bound(
      all_, kept.place.at.events, {}, [](const Kept& each) { return each.place.at.events; });
  if (behind != all_.end() && behind->place.at.events == kept.place.at.events) return;
  // Times measured along different replays need not fit: `work` is kept in order.
  if (behind != all_.begin()) kept.work = std::max(kept.work, std::prev(behind)->work);
  if (behind != all_.end()) kept.work = std::min(kept.work, behind->work);
  auto here = static_cast<size_t>(behind - all_.begin());
  all_.insert(behind, std::move(kept));
  while (all_.size() > 2 && (all_.size() > limits_.states || bytes() > limits_.bytes)) {
    const size_t gone = least_missed(here);
    all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(gone));
    if (gone < here) --here;
  }
}

}  // namespace ringshift

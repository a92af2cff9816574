#include "monitor/vcpu/events/event_clock.h"

#include <algorithm>

#include "monitor/host/time/host_clock.h"

namespace ringshift {

uint64_t EventClock::count_at(Nanoseconds time) const {
  const uint64_t per_event = config_.nanoseconds;
  return (static_cast<uint64_t>(std::max<Nanoseconds>(time, 0)) + per_event - 1) / per_event;
}

timespec EventClock::host_time_of(Nanoseconds deadline) {
  return HostClock::to_timespec(HostClock::monotonic() + deadline - now());
}

void EventClock::sleep_until(std::optional<Nanoseconds> deadline) {
  EventCounter& counter = positions_.counter();
  uint64_t end = deadline ? count_at(*deadline) : positions_.input_count().value_or(0);
  if (const auto input = positions_.input_count()) end = std::min(end, *input);
  counter.set_count(std::max(counter.count(), end));
}

void EventClock::rearm() {
  const std::optional<Nanoseconds> deadline = next_deadline();
  if (!deadline) return positions_.set_deadline(std::nullopt);
  positions_.set_deadline(count_at(*deadline));
}

void EventClock::set_time(Nanoseconds time) {
  positions_.counter().set_count(count_at(time));
  rearm();
}

}  // namespace ringshift

#include "devices/bus/virtual_clock.h"

#include <algorithm>

namespace ringshift {

ClockTimer::ClockTimer(VirtualClock& clock, std::function<void(Nanoseconds)> on_due)
    : clock_(clock), on_due_(std::move(on_due)) {}

ClockTimer::~ClockTimer() { cancel(); }

void ClockTimer::arm(Nanoseconds deadline) {
  cancel();
  deadline_ = deadline;
  clock_.insert(*this);
}

void ClockTimer::cancel() {
  if (armed_) clock_.remove(*this);
}

std::optional<Nanoseconds> VirtualClock::next_deadline() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.begin()->first;
}

void VirtualClock::insert(ClockTimer& timer) {
  timer.armed_ = true;
  const auto position = queue_.emplace(timer.deadline_, &timer).first;
  if (position == queue_.begin()) on_deadline_changed();
}

void VirtualClock::remove(ClockTimer& timer) {
  queue_.erase({timer.deadline_, &timer});
  timer.armed_ = false;
}

void VirtualClock::run_due() {
  const Nanoseconds limit = now();
  const uint64_t pass = ++passes_;
  auto next = queue_.begin();
  while (next != queue_.end() && next->first <= limit) {
    ClockTimer& timer = *next->second;
    if (timer.last_pass_ == pass) {
      ++next;
      continue;
    }
    timer.last_pass_ = pass;
    remove(timer);
    timer.on_due_(timer.deadline_);
    // The call may have armed, cancelled or destroyed any timer: no iterator survives it.
    next = queue_.begin();
  }
}

void ManualClock::advance(Nanoseconds by) {
  const Nanoseconds target = now_ + by;
  for (auto due = next_deadline(); due && *due <= target; due = next_deadline()) {
    now_ = std::max(now_, *due);
    run_due();
  }
  now_ = target;
}

}  // namespace ringshift

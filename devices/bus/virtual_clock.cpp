#include "devices/bus/virtual_clock.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

ClockTimer::ClockTimer(VirtualClock& clock, std::function<void(Nanoseconds)> on_due)
    : clock_(clock), on_due_(std::move(on_due)) {}

ClockTimer::~ClockTimer() { cancel(); }

void ClockTimer::arm(Nanoseconds deadline) {
  cancel();
  deadline_ = deadline;
  order_ = ++clock_.armings_;
  clock_.insert(*this);
}

void ClockTimer::cancel() {
  if (armed_) clock_.remove(*this);
}

void ClockTimer::visit_state(StateArchive& archive) {
  bool armed = armed_;
  Nanoseconds deadline = armed ? deadline_ : 0;
  uint64_t order = armed ? order_ : 0;
  archive.field("armed", armed);
  archive.field("deadline", deadline, 0, kLatestDeadline);
  archive.field("order", order);
  if (!archive.has_loaded()) return;
  cancel();
  if (!armed) return;
  deadline_ = deadline;
  order_ = order;
  clock_.insert(*this);
}

void VirtualClock::visit_state(StateArchive& archive) {
  Nanoseconds time = now();
  archive.field("time", time, 0, kLongestRun);
  archive.field("armings", armings_);
  if (archive.has_loaded()) set_time(time);
}

std::optional<Nanoseconds> VirtualClock::next_deadline() const {
  if (queue_.empty()) return std::nullopt;
  return std::get<Nanoseconds>(*queue_.begin());
}

void VirtualClock::insert(ClockTimer& timer) {
  timer.armed_ = true;
  const auto position = queue_.insert(entry_of(timer)).first;
  if (position == queue_.begin()) on_deadline_changed();
}

void VirtualClock::remove(ClockTimer& timer) {
  queue_.erase(entry_of(timer));
  timer.armed_ = false;
}

void VirtualClock::run_due() {
  const Nanoseconds limit = now();
  const uint64_t pass = ++passes_;
  auto next = queue_.begin();
  while (next != queue_.end() && std::get<Nanoseconds>(*next) <= limit) {
    ClockTimer& timer = *std::get<ClockTimer*>(*next);
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

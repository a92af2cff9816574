// Vcpu: the limit of its processor time, kept at safe points. See docs/machines.md, "Limits".
#include "monitor/vcpu/vcpu.h"

namespace ringshift {

Nanoseconds Vcpu::processor_time() const {
  Nanoseconds used = counted_.empty() ? HostClock::thread_time() : 0;
  for (const int process : counted_) used += HostClock::process_time(process);
  return used + (direct_ != nullptr ? direct_->processor_time() : 0);
}

void Vcpu::keep_to_limit() {
  if (limit_ == nullptr || parts_.clock.is_stopped()) return;
  const Nanoseconds now = HostClock::monotonic();
  if (const Nanoseconds hold = limit_->due(now, processor_time()); hold != 0) {
    stand_still_until(now + hold);
    (void)limit_->due(HostClock::monotonic(), processor_time());
  }
  const Nanoseconds left = parts_.clock.guest_time(limit_->until_next_look());
  limit_timer_->arm(parts_.clock.now() + left);
}

// Requests from outside are answered; the guest's timers wait, and its time passes.
void Vcpu::stand_still_until(Nanoseconds end) {
  const Nanoseconds began = HostClock::monotonic();
  parts_.clock.disarm();
  while (!boundary_.stop().is_wanted()) {
    if (HostClock::monotonic() >= end) break;
    const timespec deadline = HostClock::to_timespec(end);
    parts_.attention.sleep_until(&deadline);
    parts_.attention.take();
    parts_.attention.drain_wakeups();
    parts_.service_host();
  }
  limit_->note_held(HostClock::monotonic() - began);
  if (parts_.events == nullptr) run_timers();
}

}  // namespace ringshift

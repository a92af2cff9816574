#include "monitor/host/time/host_clock.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "monitor/host/host_signals.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;

}  // namespace

timespec HostClock::to_timespec(Nanoseconds time) {
  // Before the host's clock began: a deadline that has passed, of a guest that is older than the
  // host. Zero would be no time at all to the timer.
  time = std::max<Nanoseconds>(time, 1);
  timespec result{};
  result.tv_sec = time / kSecond;
  result.tv_nsec = time % kSecond;
  return result;
}

uint64_t HostClock::time_stamp() const {
  return is_stopped() ? stopped_stamp_ : policy_.scale.to_guest(uint64_t{__rdtsc()});
}

Nanoseconds HostClock::monotonic() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Nanoseconds{time.tv_sec} * kSecond + time.tv_nsec;
}

Nanoseconds HostClock::wall_time() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return Nanoseconds{time.tv_sec} * kSecond + time.tv_nsec;
}

Nanoseconds HostClock::thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return Nanoseconds{time.tv_sec} * kSecond + time.tv_nsec;
}

// The clock's number is clock_getcpuclockid's, which asks the host whether the process is there.
Nanoseconds HostClock::process_time(int id) {
  constexpr int kOfProcess = 2, kIdAt = 3;
  timespec time{};
  const auto number = static_cast<clockid_t>(~static_cast<unsigned>(id) << kIdAt | kOfProcess);
  if (clock_gettime(number, &time) != 0) return 0;
  return Nanoseconds{time.tv_sec} * kSecond + time.tv_nsec;
}

namespace {

struct Instant {
  Nanoseconds time;
  uint64_t stamp;
};

// The two clocks at once: the reading during which least has passed.
Instant read_both() {
  Instant best{};
  uint64_t least = ~uint64_t{0};
  for (int i = 0; i < 8; ++i) {
    const uint64_t before = __rdtsc();
    const Nanoseconds time = HostClock::monotonic();
    const uint64_t after = __rdtsc();
    if (after - before >= least) continue;
    least = after - before;
    best = {time, before + least / 2};
  }
  return best;
}

}  // namespace

uint64_t HostClock::time_stamp_rate() {
  // Read to some 50 ns at both ends: a few parts in 100,000.
  constexpr Nanoseconds kLongEnough = 3'000'000;
  static const uint64_t rate = [] {
    const Instant begin = read_both();
    Instant end = begin;
    while (end.time - begin.time < kLongEnough) end = read_both();
    return (end.stamp - begin.stamp) * kSecond / static_cast<uint64_t>(end.time - begin.time);
  }();
  return rate;
}

std::unique_ptr<HostClock> HostClock::create(std::string* error, const TimePolicy& policy) {
  auto clock = std::unique_ptr<HostClock>(new HostClock(policy));
  clock->set_missed_ticks(policy.missed_ticks);
  clock->base_host_ = monotonic();
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = HostSignals::attention_signal();
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (timer_create(CLOCK_MONOTONIC, &event, &clock->timer_) != 0) {
    *error = std::string("cannot create the timer: ") + std::strerror(errno);
    return nullptr;
  }
  clock->has_timer_ = true;
  // HLT sleeps until a deadline without the timer, and by default would be 50 us late.
  prctl(PR_SET_TIMERSLACK, 1UL);
  return clock;
}

HostClock::~HostClock() {
  if (has_timer_) timer_delete(timer_);
}

Nanoseconds HostClock::now() {
  const Nanoseconds host = stopped_at_ >= 0 ? stopped_at_ : monotonic();
  return base_guest_ + policy_.scale.to_guest(host - base_host_);
}

// Both clocks are read at once. A guest that compares them would see the time between two readings
// (a kernel's watchdog gives up a time-stamp counter for half a millisecond), and the host may give
// our processor to somebody else between them.
void HostClock::stop() {
  if (is_stopped()) return;
  const Instant now = read_both();
  stopped_at_ = now.time;
  stopped_stamp_ = policy_.scale.to_guest(now.stamp);
}

uint64_t HostClock::go_on() {
  if (!is_stopped()) return 0;
  const Instant now = read_both();
  const Nanoseconds stood_still = now.time - stopped_at_;
  stopped_at_ = -1;
  if (policy_.passes_in_stops) {
    stops_passed_ += stood_still;
    armed_for_ = -1;  // what was due meanwhile has been signalled, and nobody has looked
    rearm();
    return 0;
  }
  leave_out(stood_still);
  return policy_.scale.to_guest(now.stamp) - stopped_stamp_;
}

timespec HostClock::host_time_of(Nanoseconds deadline) { return to_timespec(host_of(deadline)); }

void HostClock::leave_out(Nanoseconds time) {
  base_host_ += time;
  armed_for_ = -1;
  rearm();
}

void HostClock::set_time(Nanoseconds time) {
  base_guest_ = time;
  base_host_ = stopped_at_ >= 0 ? stopped_at_ : monotonic();
  armed_for_ = -1;
  rearm();
}

void HostClock::disarm() {
  if (armed_for_ < 0) return;
  armed_for_ = -1;
  const itimerspec never{};
  timer_settime(timer_, 0, &never, nullptr);
}

void HostClock::rearm() {
  const std::optional<Nanoseconds> deadline = next_deadline();
  if (!deadline || *deadline == armed_for_) return;
  armed_for_ = *deadline;
  itimerspec setting{};
  // A call costs up to 20 us on some hosts. A guest whose timers are due more often than this
  // has as much time for itself between two calls, and its ticks are late.
  constexpr Nanoseconds kLeastBetweenCalls = 50'000;
  const Nanoseconds earliest = monotonic() + kLeastBetweenCalls;
  setting.it_value = to_timespec(std::max(host_of(*deadline), earliest));
  timer_settime(timer_, TIMER_ABSTIME, &setting, nullptr);
}

}  // namespace ringshift

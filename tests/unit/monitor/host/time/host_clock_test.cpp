#include "monitor/host/time/host_clock.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "monitor/host/host_signals.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000, kYear = 365 * 86'400 * kSecond;

// A clock that is saved when another one has shown `time`; and what it shows when it is loaded.
std::vector<uint8_t> saved_at(Nanoseconds time) {
  ManualClock clock;
  clock.advance(time);
  std::vector<uint8_t> saved;
  std::string error;
  EXPECT_TRUE(StateArchive::save(
      [&](StateArchive& a) { a.part("clock", static_cast<VirtualClock&>(clock)); }, &saved,
      &error));
  return saved;
}

std::unique_ptr<HostClock> loaded(Nanoseconds time) {
  std::string error;
  auto clock = HostClock::create(&error);
  EXPECT_NE(clock, nullptr) << error;
  clock->stop();
  EXPECT_TRUE(StateArchive::load(
      saved_at(time), [&](StateArchive& a) { a.part("clock", static_cast<VirtualClock&>(*clock)); },
      &error))
      << error;
  return clock;
}

// Nobody here takes the clocks' signals.
class HostClockTest : public ::testing::Test {
 protected:
  HostClockTest() {
    sigemptyset(&attention_);
    sigaddset(&attention_, HostSignals::attention_signal());
    pthread_sigmask(SIG_BLOCK, &attention_, &before_);
  }
  ~HostClockTest() override {
    const timespec at_once{};
    while (sigtimedwait(&attention_, nullptr, &at_once) > 0) continue;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t attention_{}, before_{};
};

TEST_F(HostClockTest, ALoadedClockGoesOnWhereItWasSaved) {
  const auto clock = loaded(50 * kYear);
  EXPECT_EQ(clock->now(), 50 * kYear);
  clock->go_on();
  const Nanoseconds now = clock->now();
  EXPECT_GE(now, 50 * kYear);
  EXPECT_LT(now, 50 * kYear + 3600 * kSecond);
}

// A thread that stops the clock for long, and is kept from the processor meanwhile, moves the two
// apart by no more than both readings take.
TEST_F(HostClockTest, TheTimeStampStandsWithTheClock) {
  std::string error;
  const auto clock = HostClock::create(&error);
  ASSERT_NE(clock, nullptr) << error;
  clock->stop();
  const uint64_t stamp = clock->time_stamp();
  const Nanoseconds time = clock->now();
  timespec wait{.tv_sec = 0, .tv_nsec = 20'000'000};
  nanosleep(&wait, nullptr);
  EXPECT_EQ(clock->time_stamp(), stamp);
  EXPECT_EQ(clock->now(), time);
  const uint64_t jumped = clock->go_on();
  EXPECT_GE(jumped, HostClock::time_stamp_rate() / 50 * 9 / 10) << "some 20 ms";
  EXPECT_GE(clock->time_stamp(), stamp + jumped);
  EXPECT_EQ(clock->go_on(), 0U) << "it has not been stopped";
}

// A guest may be older than its host: deadlines of long ago lie before the host's clock began.
TEST_F(HostClockTest, ADeadlineFromBeforeTheHostsTimeIsAGoodTimeForTheHost) {
  const auto clock = loaded(50 * kYear);
  clock->go_on();
  bool has_run = false;
  ClockTimer timer(*clock, [&](Nanoseconds) { has_run = true; });
  timer.arm(0);
  const timespec time = clock->host_time_of(0);
  EXPECT_GE(time.tv_sec, 0);
  EXPECT_GE(time.tv_nsec, 0);
  EXPECT_GT(time.tv_sec * kSecond + time.tv_nsec, 0);
  clock->run_due();
  EXPECT_TRUE(has_run);
}

TEST_F(HostClockTest, TimePassesInAStopOrItDoesNot) {
  constexpr Nanoseconds kStop = 20'000'000;
  for (const bool passes : {false, true}) {
    std::string error;
    const auto clock = HostClock::create(&error, {.passes_in_stops = passes});
    clock->stop();
    const Nanoseconds stopped_at = clock->now();
    const Nanoseconds begin = HostClock::monotonic();
    while (HostClock::monotonic() < begin + kStop) continue;
    EXPECT_EQ(clock->now(), stopped_at);
    const uint64_t jumped = clock->go_on();
    EXPECT_EQ(clock->now() >= stopped_at + kStop, passes);
    EXPECT_EQ(clock->stops_passed() >= kStop, passes);
    EXPECT_EQ(jumped == 0, passes);
  }
}

TEST_F(HostClockTest, AScaledClockIsAtItsDeadlinesWhenTheHostIs) {
  std::string error;
  const auto clock = HostClock::create(&error, {.scale = TimeScale(0.25)});
  const Nanoseconds host = HostClock::monotonic(), guest = clock->now();
  const timespec end = clock->host_time_of(guest + kSecond);
  EXPECT_NEAR(static_cast<double>(end.tv_sec * kSecond + end.tv_nsec - host), 4e9, 1e8);
  EXPECT_EQ(clock->guest_time(kSecond), kSecond / 4);
  const uint64_t stamp = clock->time_stamp();
  while (HostClock::monotonic() < host + kSecond / 50) continue;
  const auto ticks = static_cast<double>(clock->time_stamp() - stamp);
  const auto passed = static_cast<double>(clock->now() - guest);
  const auto rate = static_cast<double>(HostClock::time_stamp_rate());
  EXPECT_NEAR(ticks / passed * 1e9, rate, rate / 10);  // in its own time, its counter is the host's
}

}  // namespace
}  // namespace ringshift

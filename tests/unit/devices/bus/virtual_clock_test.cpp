#include "devices/bus/virtual_clock.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

TEST(VirtualClock, TimersRunInOrderOfDeadlineAtTheirOwnTime) {
  ManualClock clock;
  std::vector<Nanoseconds> times;
  ClockTimer late(clock, [&](Nanoseconds) { times.push_back(clock.now()); });
  ClockTimer early(clock, [&](Nanoseconds) { times.push_back(clock.now()); });
  late.arm(200);
  early.arm(100);
  clock.advance(300);
  EXPECT_EQ(times, (std::vector<Nanoseconds>{100, 200}));
  EXPECT_EQ(clock.now(), 300);
}

TEST(VirtualClock, DestroyedAndCancelledTimersDoNotRun) {
  ManualClock clock;
  int runs = 0;
  ClockTimer cancelled(clock, [&](Nanoseconds) { ++runs; });
  cancelled.arm(10);
  cancelled.cancel();
  {
    ClockTimer destroyed(clock, [&](Nanoseconds) { ++runs; });
    destroyed.arm(10);
  }
  EXPECT_FALSE(clock.next_deadline().has_value());
  clock.advance(20);
  EXPECT_EQ(runs, 0);
}

TEST(VirtualClock, RearmingReplacesTheDeadline) {
  ManualClock clock;
  int runs = 0;
  ClockTimer timer(clock, [&](Nanoseconds) { ++runs; });
  timer.arm(10);
  timer.arm(50);
  clock.advance(20);
  EXPECT_EQ(runs, 0);
  clock.advance(40);
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(timer.armed());
}

TEST(VirtualClock, TimerRearmedInThePastWaitsForTheNextPass) {
  ManualClock clock;
  clock.advance(1000);
  int runs = 0;
  ClockTimer* self = nullptr;
  ClockTimer timer(clock, [&](Nanoseconds deadline) {
    ++runs;
    self->arm(deadline + 1);
  });
  self = &timer;
  timer.arm(10);
  clock.run_due();
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(clock.next_deadline(), 11);
  clock.run_due();
  EXPECT_EQ(runs, 2);
}

TEST(VirtualClock, CallbackMayCancelAnotherDueTimer) {
  ManualClock clock;
  int runs = 0;
  ClockTimer second(clock, [&](Nanoseconds) { ++runs; });
  ClockTimer first(clock, [&](Nanoseconds) { second.cancel(); });
  first.arm(10);
  second.arm(10 + 1);
  clock.advance(100);
  EXPECT_EQ(runs, 0);
}

}  // namespace
}  // namespace ringshift

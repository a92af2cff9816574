#include "devices/bus/virtual_clock.h"

#include <gtest/gtest.h>

#include <vector>

#include "shadowmmu/base/state_archive.h"
#include "tests/support/state_items.h"

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

TEST(VirtualClock, TimersOfOneDeadlineRunInTheOrderInWhichTheyWereArmed) {
  ManualClock clock;
  std::string order;
  ClockTimer timers[] = {{clock, [&](Nanoseconds) { order += 'a'; }},
                         {clock, [&](Nanoseconds) { order += 'b'; }},
                         {clock, [&](Nanoseconds) { order += 'c'; }}};
  timers[2].arm(10);
  timers[0].arm(10);
  timers[1].arm(10);
  timers[0].arm(10);
  clock.advance(10);
  EXPECT_EQ(order, "cba");
}

// A clock with timers that write down when they run.
struct SavedClock {
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) {
    archive.part("clock", static_cast<VirtualClock&>(clock));
    archive.part("a", a);
    archive.part("b", b);
    archive.part("c", c);
  }
  ManualClock clock;
  std::string order;
  ClockTimer a{clock, [this](Nanoseconds deadline) { order += "a" + std::to_string(deadline); }};
  ClockTimer b{clock, [this](Nanoseconds deadline) { order += "b" + std::to_string(deadline); }};
  ClockTimer c{clock, [this](Nanoseconds deadline) { order += "c" + std::to_string(deadline); }};
};

std::vector<uint8_t> save(SavedClock& clock) {
  std::vector<uint8_t> saved;
  std::string error;
  EXPECT_TRUE(StateArchive::save([&](StateArchive& s) { s.part("all", clock); }, &saved, &error));
  return saved;
}

bool load(std::span<const uint8_t> saved, SavedClock& clock, std::string* error) {
  return StateArchive::load(
      saved, [&](StateArchive& s) { s.part("all", clock); }, error);
}

TEST(VirtualClock, ALoadedClockGoesOnWithTheSameTimersInTheSameOrder) {
  SavedClock first, second;
  first.clock.advance(1'000);
  first.c.arm(3'000);
  first.a.arm(3'000);
  second.b.arm(5);  // not armed where it was saved
  second.a.arm(7);
  std::string error;
  ASSERT_TRUE(load(save(first), second, &error)) << error;
  EXPECT_EQ(second.clock.now(), 1'000);
  EXPECT_EQ(second.clock.armed_timers(), 2U);
  // Armed later: behind those that were saved.
  first.b.arm(3'000);
  second.b.arm(3'000);
  EXPECT_EQ(save(first), save(second));
  second.clock.advance(1'999);
  EXPECT_EQ(second.order, "");
  second.clock.advance(1);
  EXPECT_EQ(second.order, "c3000a3000b3000");
}

TEST(VirtualClock, WhatIsOverdueRunsWithItsOwnDeadline) {
  SavedClock first, second;
  first.clock.advance(1'000);
  first.a.arm(10);
  std::string error;
  ASSERT_TRUE(load(save(first), second, &error)) << error;
  second.clock.run_due();
  EXPECT_EQ(second.order, "a10");
}

TEST(VirtualClock, TimesOutOfRangeAreRefused) {
  SavedClock first;
  first.a.arm(10);
  const StateItems good = parse_state(save(first));
  for (const char* path : {"all/clock/time", "all/a/deadline"}) {
    StateItems items = good;
    for_each_item(items, [&](const std::string& name, StateItems& all, size_t i) {
      if (name == path) all[i].payload.assign(8, 0xff);
    });
    SavedClock second;
    std::string error;
    EXPECT_FALSE(load(assemble_state(items), second, &error));
    EXPECT_EQ(error, std::string("saved state: ") + path + ": -1 is less than 0");
  }
}

}  // namespace
}  // namespace ringshift

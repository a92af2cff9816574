// Budgets of events: by the next timer, by a replay's next input, by requests for a look.
#include "monitor/vcpu/events/event_positions.h"

#include <gtest/gtest.h>

#include <vector>

#include "monitor/vcpu/events/event_clock.h"

namespace ringshift {
namespace {

class EventPositionsTest : public testing::Test {
 protected:
  // Events that the guest passes until it has to be looked at.
  uint64_t pass(uint64_t most = 1000) {
    uint64_t passed = 0;
    while (passed < most && !counter().is_due()) {
      counter().add(1);
      ++passed;
    }
    return passed;
  }
  EventCounter& counter() { return positions.counter(); }

  uint64_t walk = 0;
  uint64_t origin = 0;
  EventPositions positions{EventCounter(&walk, &origin, 0x100000, 0x40000)};
};

TEST_F(EventPositionsTest, TheNearestOfTimerAndReplayEndsTheBudget) {
  positions.set_deadline(30);
  positions.set_input_count(20);
  EXPECT_EQ(pass(), 20U);
  positions.set_input_count(std::nullopt);
  EXPECT_EQ(pass(), 10U);
  positions.set_deadline(std::nullopt);
  EXPECT_EQ(pass(), 1000U);
}

TEST_F(EventPositionsTest, WhatIsDueNowStillLetsOneEventPass) {
  positions.set_deadline(5);
  EXPECT_EQ(pass(), 5U);
  positions.go_on();  // the timer has not been set again
  EXPECT_EQ(pass(), 1U);
  EXPECT_EQ(counter().count(), 6U);
}

TEST_F(EventPositionsTest, WhoWantsALookGetsItAtTheNextEvent) {
  positions.set_deadline(100);
  positions.request_look();
  EXPECT_EQ(pass(), 0U);
  EXPECT_TRUE(positions.take_look());
  EXPECT_FALSE(positions.take_look());
  positions.go_on();
  EXPECT_EQ(pass(), 100U);
}

TEST_F(EventPositionsTest, WhoLeadsTheGuestEndsTheBudgetToo) {
  positions.set_deadline(30);
  positions.set_guide_count(10);
  EXPECT_EQ(pass(), 10U);
  positions.set_guide_count(std::nullopt);
  EXPECT_EQ(pass(), 20U);
}

TEST_F(EventPositionsTest, AMomentIsGoneBackTo) {
  positions.set_deadline(30);
  positions.set_input_count(20);
  (void)pass(5);
  positions.note_halt();
  const EventPositions::Moment then = positions.moment();
  (void)pass();
  positions.note_halt();
  positions.go_on();
  (void)pass();
  positions.restore(then);
  EXPECT_EQ(counter().count(), 5U);
  EXPECT_EQ(positions.halts(), 1U);
  EXPECT_EQ(positions.input_count(), 20U);
  EXPECT_EQ(pass(), 15U);
}

TEST_F(EventPositionsTest, TheClockIsTheCount) {
  EventClock clock(positions, {.nanoseconds = 8});
  std::vector<Nanoseconds> called;
  ClockTimer timer(clock, [&](Nanoseconds) { called.push_back(clock.now()); });
  timer.arm(81);  // between two events: at the later one
  EXPECT_EQ(pass(), 11U);
  clock.run_due();
  EXPECT_EQ(called, std::vector<Nanoseconds>{88});
  clock.stop();
  EXPECT_TRUE(clock.is_stopped());
  clock.go_on();
  EXPECT_EQ(clock.now(), 88);
}

TEST_F(EventPositionsTest, SleepEndsAtTheTimerOrWhereAReplaySays) {
  EventClock clock(positions, {.nanoseconds = 10});
  clock.sleep_until(1000);
  EXPECT_EQ(clock.now(), 1000);
  clock.sleep_until(500);  // past
  EXPECT_EQ(clock.now(), 1000);
  positions.set_input_count(120);
  clock.sleep_until(5000);
  EXPECT_EQ(clock.now(), 1200);
  positions.set_input_count(130);
  clock.sleep_until(std::nullopt);
  EXPECT_EQ(clock.now(), 1300);
}

}  // namespace
}  // namespace ringshift

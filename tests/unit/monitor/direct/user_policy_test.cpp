#include "monitor/direct/user_policy.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr uint64_t kTick = UserPolicy::kLongestTick;
// More than so many kernel entries in a tick are not quiet.
constexpr uint32_t kQuietEntries = kTick / UserPolicy::kQuietCycles;

// Ticks, each so long and after so many kernel entries.
class Ticks {
 public:
  [[nodiscard]] bool tick(UserPolicy* policy, uint32_t entries = 0, uint64_t length = kTick) {
    policy->note_kernel_entries(entries);
    return policy->note_tick(now_ += length);
  }

 private:
  uint64_t now_ = 0;
};

// Quiet ticks until the code goes direct; 0 if it does not within `limit`.
uint32_t quiet_ticks_to_direct(UserPolicy* policy, uint32_t limit) {
  Ticks ticks;
  for (uint32_t tick = 1; tick <= limit; ++tick) {
    if (ticks.tick(policy)) return tick;
  }
  return 0;
}

// Slices of so many cycles until the code is translated again; 0 if it is not within `limit`.
uint32_t slices_to_translated(UserPolicy* policy, uint64_t cycles, uint32_t limit) {
  for (uint32_t slice = 1; slice <= limit; ++slice) {
    if (policy->note_slice(cycles)) return slice;
  }
  return 0;
}

constexpr uint64_t kShort = UserPolicy::kWorthwhileCycles / 10;
constexpr uint64_t kLong = UserPolicy::kWorthwhileCycles * 10;

TEST(UserPolicy, CodeIsTranslatedAtFirst) {
  const UserPolicy policy;
  EXPECT_FALSE(policy.is_direct());
  EXPECT_FALSE(policy.has_given_up());
}

TEST(UserPolicy, ComputingCodeGoesDirectAfterItsPatience) {
  UserPolicy policy;
  EXPECT_EQ(quiet_ticks_to_direct(&policy, 1000), UserPolicy::kInitialPatience);
  EXPECT_TRUE(policy.is_direct());
}

TEST(UserPolicy, CodeThatKeepsCallingItsKernelStaysTranslated) {
  UserPolicy policy;
  Ticks ticks;
  for (int tick = 0; tick < 1000; ++tick) EXPECT_FALSE(ticks.tick(&policy, kQuietEntries + 1));
  EXPECT_FALSE(policy.is_direct());
}

TEST(UserPolicy, FewKernelEntriesBetweenTicksAreQuiet) {
  UserPolicy policy;
  Ticks ticks;
  for (uint32_t tick = 1; tick < UserPolicy::kInitialPatience; ++tick) {
    EXPECT_FALSE(ticks.tick(&policy, kQuietEntries));
  }
  EXPECT_TRUE(ticks.tick(&policy, kQuietEntries));
}

TEST(UserPolicy, TheShorterTheTickTheFewerEntriesAreQuiet) {
  constexpr uint64_t kShortTick = 2 * UserPolicy::kQuietCycles;
  UserPolicy policy;
  Ticks ticks;
  EXPECT_FALSE(ticks.tick(&policy, kQuietEntries + 1));
  EXPECT_FALSE(ticks.tick(&policy, 3, kShortTick));
  EXPECT_TRUE(ticks.tick(&policy, 2, kShortTick));
}

TEST(UserPolicy, SleepIsNotQuiet) {
  UserPolicy policy;
  Ticks ticks;
  EXPECT_FALSE(ticks.tick(&policy, kQuietEntries + 1, 1000 * kTick));
}

TEST(UserPolicy, OneBusyTickBeginsTheWaitAgain) {
  UserPolicy policy;
  Ticks ticks;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  ASSERT_NE(slices_to_translated(&policy, kShort, 1000), 0U);
  // It has to be patient twice as long now.
  for (uint32_t tick = 1; tick < 2 * UserPolicy::kInitialPatience; ++tick) {
    EXPECT_FALSE(ticks.tick(&policy));
  }
  EXPECT_FALSE(ticks.tick(&policy, kQuietEntries + 1));
  EXPECT_EQ(quiet_ticks_to_direct(&policy, 1000), 2 * UserPolicy::kInitialPatience);
}

TEST(UserPolicy, ANewProgramIsLookedAtSoonSoManyTimes) {
  UserPolicy policy;
  for (uint32_t look = 0; look < UserPolicy::kLooks; ++look) EXPECT_TRUE(policy.asks_for_a_look());
  EXPECT_FALSE(policy.asks_for_a_look());
}

TEST(UserPolicy, WhatRunsDirectlyIsNotLookedAt) {
  UserPolicy policy;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  EXPECT_FALSE(policy.asks_for_a_look());
}

TEST(UserPolicy, LongSlicesKeepCodeDirect) {
  UserPolicy policy;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  EXPECT_EQ(slices_to_translated(&policy, kLong, 1000), 0U);
  EXPECT_TRUE(policy.is_direct());
}

TEST(UserPolicy, ShortSlicesEndDirectExecution) {
  UserPolicy policy;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  EXPECT_EQ(slices_to_translated(&policy, kShort, 1000), UserPolicy::kSlicesJudged);
  EXPECT_FALSE(policy.is_direct());
  EXPECT_FALSE(policy.has_given_up());
}

TEST(UserPolicy, WhoChangesItsMindIsAskedEverLessOften) {
  UserPolicy policy;
  uint32_t before = quiet_ticks_to_direct(&policy, 1000);
  for (int change = 0; change < 4; ++change) {
    ASSERT_NE(slices_to_translated(&policy, kShort, 1000), 0U);
    const uint32_t now = quiet_ticks_to_direct(&policy, 1000);
    EXPECT_GT(now, before);
    before = now;
  }
  for (int change = 0; change < 40; ++change) {
    ASSERT_NE(slices_to_translated(&policy, kShort, 1000), 0U);
    before = quiet_ticks_to_direct(&policy, 1000);
    ASSERT_NE(before, 0U);
  }
  EXPECT_EQ(before, UserPolicy::kLongestPatience);
}

TEST(UserPolicy, WorthwhileSlicesRestorePatience) {
  UserPolicy policy;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  ASSERT_NE(slices_to_translated(&policy, kShort, 1000), 0U);
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  ASSERT_EQ(slices_to_translated(&policy, kLong, UserPolicy::kSlicesJudged), 0U);
  ASSERT_NE(slices_to_translated(&policy, kShort, 1000), 0U);
  // Doubled once from the beginning, not twice.
  EXPECT_EQ(quiet_ticks_to_direct(&policy, 1000), 2 * UserPolicy::kInitialPatience);
}

TEST(UserPolicy, GivingUpIsForGood) {
  UserPolicy policy;
  ASSERT_NE(quiet_ticks_to_direct(&policy, 1000), 0U);
  policy.give_up();
  EXPECT_FALSE(policy.is_direct());
  EXPECT_TRUE(policy.has_given_up());
  EXPECT_EQ(quiet_ticks_to_direct(&policy, 10000), 0U);
}

}  // namespace
}  // namespace ringshift

#include "monitor/host/time_policy.h"

#include <gtest/gtest.h>

#include <limits>

namespace ringshift {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000, kYear = 365 * 86'400 * kSecond;

TEST(TimeScale, OneChangesNothing) {
  const TimeScale one;
  EXPECT_TRUE(one.is_one());
  EXPECT_TRUE(TimeScale(1.0).is_one());
  EXPECT_EQ(one.to_guest(uint64_t{0xfedcba9876543210}), 0xfedcba9876543210U);
  for (const Nanoseconds time : {Nanoseconds{-7}, Nanoseconds{0}, 3 * kYear}) {
    EXPECT_EQ(one.to_guest(time), time);
    EXPECT_EQ(one.to_host(time), time);
  }
}

TEST(TimeScale, HalfAndTwiceAreExact) {
  EXPECT_EQ(TimeScale(0.5).to_guest(10 * kSecond), 5 * kSecond);
  EXPECT_EQ(TimeScale(0.5).to_host(5 * kSecond), 10 * kSecond);
  EXPECT_EQ(TimeScale(2).to_guest(-10 * kSecond), -20 * kSecond);
  EXPECT_EQ(TimeScale(2).to_guest(uint64_t{1} << 40), uint64_t{1} << 41);
}

// A sleep until then is not woken too early.
TEST(TimeScale, ADeadlineHasComeAtTheHostTimeThatIsGivenForIt) {
  for (const double factor : {0.01, 0.37, 1.0, 3.3, 100.0}) {
    const TimeScale scale(factor);
    for (Nanoseconds time = 1; time < kYear / 2; time = time * 3 + 1) {
      EXPECT_GE(scale.to_guest(scale.to_host(time)), time) << factor;
      EXPECT_LT(scale.to_guest(scale.to_host(time) - 1), time) << factor;
    }
  }
}

TEST(TimeScale, NeverGoesBack) {
  const TimeScale scale(0.37);
  uint64_t before = 0;
  for (uint64_t count = uint64_t{1} << 50; count < (uint64_t{1} << 50) + 1000; ++count) {
    EXPECT_GE(scale.to_guest(count), before);
    before = scale.to_guest(count);
  }
}

TEST(TimeScale, WhatNoMachineLivesToSeeStaysInRange) {
  constexpr Nanoseconds kMost = std::numeric_limits<Nanoseconds>::max();
  EXPECT_EQ(TimeScale(100).to_guest(kMost), kLongestRun);
  EXPECT_EQ(TimeScale(0.01).to_host(kMost), kLongestRun);
  EXPECT_EQ(TimeScale(0.01).to_host(-kMost), -kLongestRun);
}

}  // namespace
}  // namespace ringshift

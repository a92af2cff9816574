#include "devices/bus/token_bucket.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr uint64_t kRate = 1'000'000;

TEST(TokenBucket, SomethingMayMoveAtOnce) {
  TokenBucket bucket(kRate);
  EXPECT_EQ(bucket.due(5), 0);
}

TEST(TokenBucket, WhatMovedIsWaitedFor) {
  TokenBucket bucket(kRate);
  ASSERT_EQ(bucket.due(0), 0);
  bucket.take(kRate);  // a second's worth, of which a tenth was there
  const Nanoseconds wait = bucket.due(0);
  EXPECT_NEAR(static_cast<double>(wait), 0.9 * kSecond, 0.001 * kSecond);
  EXPECT_NE(bucket.due(wait - kSecond / 100), 0);
  EXPECT_EQ(bucket.due(wait + 10), 0);
}

TEST(TokenBucket, OverALongTimeTheRateIsKept) {
  TokenBucket bucket(kRate);
  uint64_t moved = 0;
  for (Nanoseconds now = 0; now < 10 * kSecond; now += 1'000'000) {
    if (bucket.due(now) != 0) continue;
    bucket.take(65536);
    moved += 65536;
  }
  EXPECT_NEAR(static_cast<double>(moved), 10.0 * kRate, 0.03 * 10 * kRate);
}

TEST(TokenBucket, WhatIsNotUsedIsKeptForAWindowOnly) {
  TokenBucket bucket(kRate);
  ASSERT_EQ(bucket.due(0), 0);
  ASSERT_EQ(bucket.due(1000 * kSecond), 0);
  bucket.take(kRate / 10);
  EXPECT_NE(bucket.due(1000 * kSecond), 0);
}

TEST(TokenBucket, AClockThatGoesBackGivesNothing) {
  TokenBucket bucket(kRate);
  ASSERT_EQ(bucket.due(kSecond), 0);
  bucket.take(kRate);
  EXPECT_NE(bucket.due(0), 0);
}

}  // namespace
}  // namespace ringshift

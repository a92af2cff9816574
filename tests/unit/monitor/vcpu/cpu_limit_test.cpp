#include "monitor/vcpu/cpu_limit.h"

#include <gtest/gtest.h>

#include <random>

namespace ringshift {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000, kSecond = 1'000'000'000;

// A guest on a host that takes its own time over everything.
struct Host {
  explicit Host(unsigned percent) : limit(percent) {}
  // busy: the guest's use of the CPU while it may run, in per cent. lateness: of the host, with
  // everything.
  void run(Nanoseconds time, int busy, Nanoseconds lateness) {
    const Nanoseconds end = now + time;
    while (now < end) {
      const Nanoseconds hold = limit.due(now, used);
      if (hold != 0) now += hold + late(lateness);
      if (hold != 0 && limit.due(now, used) != 0) continue;
      const Nanoseconds slice = limit.until_next_look() + late(lateness);
      now += slice;
      used += slice * busy / 100;
    }
  }
  Nanoseconds late(Nanoseconds most) {
    return most == 0 ? 0 : static_cast<Nanoseconds>(random() % static_cast<uint64_t>(most));
  }
  CpuLimit limit;
  std::mt19937_64 random{1};
  Nanoseconds now = 5 * kSecond, used = 3 * kSecond;
};

TEST(CpuLimit, AGuestThatSpinsGetsItsShareAndNoMore) {
  for (const unsigned percent : {1U, 5U, 25U, 50U, 75U, 90U, 99U}) {
    for (const Nanoseconds lateness : {Nanoseconds{0}, kMillisecond, 5 * kMillisecond}) {
      Host host(percent);
      host.run(10 * kSecond, 100, lateness);
      const double share = static_cast<double>(host.used - 3 * kSecond) / 10e9 * 100;
      EXPECT_NEAR(share, percent, 2) << percent << " late by " << lateness;
    }
  }
}

TEST(CpuLimit, AGuestBelowItsShareIsNeverHeld) {
  Host host(50);
  host.run(10 * kSecond, 45, 0);
  EXPECT_NEAR(static_cast<double>(host.used - 3 * kSecond), 4.5e9, 5e7);
}

TEST(CpuLimit, AHundredPerCentIsNoLimit) {
  CpuLimit limit(100);
  for (Nanoseconds now = 0; now < kSecond; now += kMillisecond) {
    ASSERT_EQ(limit.due(now, now), 0) << now;
  }
}

TEST(CpuLimit, WhatWasNotUsedIsKeptForOneWindowOnly) {
  CpuLimit limit(25);
  ASSERT_EQ(limit.due(0, 0), 0);
  ASSERT_EQ(limit.due(3600 * kSecond, 0), 0);
  EXPECT_EQ(limit.due(3600 * kSecond, 24 * kMillisecond), 0);
  EXPECT_GT(limit.due(3600 * kSecond, 26 * kMillisecond), 0);
}

TEST(CpuLimit, OverspendingIsMadeUpFor) {
  CpuLimit limit(10);
  ASSERT_EQ(limit.due(0, 0), 0);
  // Nobody could be asked for a second.
  const Nanoseconds hold = limit.due(kSecond, kSecond);
  EXPECT_NEAR(static_cast<double>(hold), 9e9, 2e7);
  EXPECT_EQ(limit.due(kSecond + hold, kSecond), 0);
}

TEST(CpuLimit, ClocksThatStandOrGoBackDoNoHarm) {
  CpuLimit limit(50);
  ASSERT_EQ(limit.due(kSecond, kSecond), 0);
  EXPECT_EQ(limit.due(0, 0), 0);
  EXPECT_LE(limit.due(0, 100 * kMillisecond), kSecond);
  limit.note_held(-5);
  EXPECT_EQ(limit.held(), 0);
}

}  // namespace
}  // namespace ringshift

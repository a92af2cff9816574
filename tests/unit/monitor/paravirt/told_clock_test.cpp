#include "monitor/paravirt/told_clock.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(ToldClock, ScalesAreExactToSomePartsInATenThousandMillion) {
  for (const uint64_t hertz : {100'000'000ULL, 999'999'999ULL, 1'000'000'000ULL, 1'000'000'001ULL,
                               2'000'000'000ULL, 2'445'427'000ULL, 5'000'000'001ULL}) {
    const TickScale scale = TickScale::of(hertz);
    const uint64_t day = scale.nanoseconds(hertz * 86400);
    EXPECT_NEAR(static_cast<double>(day), 86400e9, 86400.0 * 2) << hertz;
    EXPECT_GE(scale.multiplier, 1U << 31) << hertz;
  }
}

TEST(ToldClock, GoesOnFromWhereItWasWhenItBeginsAgain) {
  ToldClock clock(2'000'000'000, 1000, 50);
  EXPECT_EQ(clock.at(1000), 50U);
  const uint64_t before = clock.at(2'000'001'000);
  EXPECT_NEAR(static_cast<double>(before), 1e9 + 50, 1);
  clock.begin_again(77, before);
  EXPECT_EQ(clock.at(77), before);
  EXPECT_EQ(clock.at(0), before) << "a counter that was set back is no time before";
  EXPECT_GT(clock.at(2077), before + 900);
}

TEST(ToldClock, RunsForCenturies) {
  const ToldClock clock(3'000'000'000, 0, 0);
  constexpr uint64_t kSeconds = 100ULL * 365 * 86400;  // 9.5e18 ticks: near the counter's end
  const double told = static_cast<double>(clock.at(kSeconds * 3'000'000'000ULL));
  EXPECT_NEAR(told / 1e9, static_cast<double>(kSeconds), 10);
}

}  // namespace
}  // namespace ringshift

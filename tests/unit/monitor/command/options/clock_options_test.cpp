#include "monitor/command/options/clock_options.h"

#include <gtest/gtest.h>

#include "monitor/command/options/options.h"

namespace ringshift {
namespace {

// The message of apply_clock; empty: it agreed.
std::string problem_with(RunOptions* options, const std::string& time,
                         const std::string& clock = "") {
  options->time = time;
  options->clock = clock;
  std::string problem;
  const bool is_good = apply_clock(options, &problem);
  EXPECT_EQ(is_good, problem.empty());
  return problem;
}

TEST(ClockOptions, TimeIsOneOfItsWords) {
  for (const char* time :
       {"usual", "real", "lazy", "scaled=0.01", "scaled=100", "scaled=1", "events"}) {
    RunOptions options;
    EXPECT_EQ(problem_with(&options, time), "") << time;
  }
  for (const char* time :
       {"sun", "real,", "scaled", "scaled=", "scaled=0", "scaled=0.009", "scaled=100.1",
        "scaled=-1", "scaled=1e1", "scaled=nan", "scaled=inf", "scaled=0x1", "scaled=1 "}) {
    RunOptions options;
    EXPECT_NE(problem_with(&options, time), "") << time;
  }
}

TEST(ClockOptions, AWordSaysWhatBecomesOfStopsAndLateTicks) {
  RunOptions usual, real, lazy, scaled;
  EXPECT_EQ(problem_with(&usual, ""), "");
  EXPECT_EQ(usual.machine.time.missed_ticks, MissedTicks::Usual);
  EXPECT_FALSE(usual.machine.time.passes_in_stops);
  EXPECT_EQ(problem_with(&real, "real"), "");
  EXPECT_EQ(real.machine.time.missed_ticks, MissedTicks::MakeUp);
  EXPECT_TRUE(real.machine.time.passes_in_stops);
  EXPECT_EQ(problem_with(&lazy, "lazy"), "");
  EXPECT_EQ(lazy.machine.time.missed_ticks, MissedTicks::Drop);
  EXPECT_TRUE(lazy.machine.time.passes_in_stops);
  EXPECT_EQ(problem_with(&scaled, "scaled=0.5"), "");
  EXPECT_DOUBLE_EQ(scaled.machine.time.scale.factor(), 0.5);
}

TEST(ClockOptions, TimeAndClockMustNotContradict) {
  RunOptions options;
  EXPECT_EQ(problem_with(&options, "real", "host"), "");
  EXPECT_NE(problem_with(&options, "events", "host"), "");
  EXPECT_NE(problem_with(&options, "real", "events"), "");
  EXPECT_NE(problem_with(&options, "usual", "events,ns=2"), "");
  EXPECT_EQ(problem_with(&options, "events", "events,ns=2"), "");
  EXPECT_EQ(options.machine.event_clock.nanoseconds, 2U);
}

TEST(ClockOptions, EventsOfTimeAreThoseOfTheClock) {
  RunOptions options;
  EXPECT_EQ(problem_with(&options, "events"), "");
  EXPECT_TRUE(options.machine.event_clock.is_used());
}

TEST(ClockOptions, AScaleIsNotForWhatGoesByTheHostsRate) {
  RunOptions trap, disk, network;
  trap.machine.vcpu.engine = Engine::Trap;
  disk.limits.disk_rate = 1;
  network.limits.network_rate = 1;
  for (RunOptions* options : {&trap, &disk, &network}) {
    EXPECT_NE(problem_with(options, "scaled=2"), "");
    EXPECT_EQ(problem_with(options, "real"), "");
  }
}

}  // namespace
}  // namespace ringshift

#include "devices/timers/pit8254.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr TickRate kRate{kPitHertz};

// Runs late on purpose: time moves without calling timers.
class LateClock final : public VirtualClock {
 public:
  Nanoseconds now() override { return time; }
  Nanoseconds time = 0;

 protected:
  void set_time(Nanoseconds to) override { time = to; }
};

class Pit : public ::testing::Test {
 protected:
  PortDevice& timer() { return pit_.timer_ports(); }
  PortDevice& port_61() { return pit_.system_control_port(); }
  void control(unsigned counter, unsigned mode, bool bcd = false) {
    out8(timer(), 3, counter << 6 | 0x30 | mode << 1 | (bcd ? 1 : 0));
  }
  void load(unsigned counter, unsigned count) {
    out8(timer(), counter, count);
    out8(timer(), counter, count >> 8);
  }
  unsigned read_count(unsigned counter) {
    const unsigned low = in8(timer(), counter);
    return low | static_cast<unsigned>(in8(timer(), counter)) << 8;
  }
  unsigned latched_count(unsigned counter) {
    out8(timer(), 3, counter << 6);
    return read_count(counter);
  }
  uint8_t status(unsigned counter) {
    out8(timer(), 3, 0xe0 | 2U << counter);
    return in8(timer(), counter);
  }
  bool out(unsigned counter) { return (status(counter) & 0x80) != 0; }
  // To the start of the given PIT tick.
  void to_tick(int64_t tick) { clock_.advance(kRate.time_of(tick) - clock_.now()); }

  ManualClock clock_;
  RecordingLine irq0_;
  Pit8254 pit_{clock_, irq0_};
};

TEST(TickRate, ConvertsBothWaysWithoutLosingATick) {
  for (const int64_t tick :
       {int64_t{0}, int64_t{1}, int64_t{1193181}, int64_t{1193182}, int64_t{123456789012345}}) {
    EXPECT_EQ(kRate.ticks_at(kRate.time_of(tick)), tick);
    EXPECT_EQ(kRate.ticks_at(kRate.time_of(tick + 1) - 1), tick);
  }
}

TEST_F(Pit, Mode0RaisesIrq0OnceAfterTheCount) {
  control(0, 0);
  load(0, 1000);
  to_tick(1000);
  EXPECT_FALSE(irq0_.level);
  to_tick(1001);
  EXPECT_TRUE(irq0_.level);
  to_tick(300000);
  EXPECT_EQ(irq0_.rising_edges, 1);
}

TEST_F(Pit, Mode0GoesOnCountingPastZero) {
  control(0, 0);
  load(0, 10);
  to_tick(13);
  EXPECT_EQ(latched_count(0), 0xfffeU);
}

TEST_F(Pit, Mode0FirstByteOfANewCountDrivesOutLowAndStops) {
  control(0, 0);
  load(0, 10);
  to_tick(50);
  EXPECT_TRUE(out(0));
  out8(timer(), 0, 0x10);
  EXPECT_FALSE(out(0));
  to_tick(500);
  EXPECT_FALSE(out(0));
}

TEST_F(Pit, Mode1WaitsForTheGateAndFiresOnce) {
  control(2, 1);
  load(2, 100);
  to_tick(500);
  EXPECT_TRUE(out(2));
  out8(port_61(), 0, 1);
  EXPECT_FALSE(out(2));
  to_tick(600);
  EXPECT_FALSE(out(2));
  to_tick(601);
  EXPECT_TRUE(out(2));
}

TEST_F(Pit, Mode1IsRetriggeredByTheGate) {
  control(2, 1);
  load(2, 100);
  out8(port_61(), 0, 1);
  to_tick(50);
  out8(port_61(), 0, 0);
  out8(port_61(), 0, 1);
  to_tick(150);
  EXPECT_FALSE(out(2));
  to_tick(151);
  EXPECT_TRUE(out(2));
}

TEST_F(Pit, Mode2GivesOneEdgeEachPeriod) {
  control(0, 2);
  load(0, 1000);
  irq0_.rising_edges = 0;
  to_tick(10 * 1000 + 1);
  EXPECT_EQ(irq0_.rising_edges, 10);
}

TEST_F(Pit, Mode2CountsFromNDownToOne) {
  control(0, 2);
  load(0, 100);
  to_tick(1);
  EXPECT_EQ(latched_count(0), 100U);
  to_tick(100);
  EXPECT_EQ(latched_count(0), 1U);
  EXPECT_FALSE(out(0));
  to_tick(101);
  EXPECT_EQ(latched_count(0), 100U);
  EXPECT_TRUE(out(0));
}

TEST_F(Pit, Mode2TakesANewCountAtTheEndOfThePeriod) {
  control(0, 2);
  load(0, 100);
  to_tick(50);
  load(0, 1000);
  EXPECT_EQ(status(0) & 0x40, 0x40);
  to_tick(100);
  EXPECT_EQ(latched_count(0), 1U);
  to_tick(101);
  EXPECT_EQ(latched_count(0), 1000U);
  EXPECT_EQ(status(0) & 0x40, 0x00);
  irq0_.rising_edges = 0;
  to_tick(1100);
  EXPECT_EQ(irq0_.rising_edges, 0);
  to_tick(1101);
  EXPECT_EQ(irq0_.rising_edges, 1);
}

TEST_F(Pit, Mode2GateLowStopsAndGateHighReloads) {
  control(2, 2);
  out8(port_61(), 0, 1);
  load(2, 100);
  to_tick(41);
  out8(port_61(), 0, 0);
  to_tick(1000);
  EXPECT_EQ(latched_count(2), 60U);
  EXPECT_TRUE(out(2));
  out8(port_61(), 0, 1);
  to_tick(1001);
  EXPECT_EQ(latched_count(2), 100U);
}

TEST_F(Pit, Mode3IsASquareWaveCountingByTwo) {
  control(0, 3);
  load(0, 100);
  to_tick(1 + 10);
  EXPECT_EQ(latched_count(0), 80U);
  EXPECT_TRUE(out(0));
  to_tick(1 + 50);
  EXPECT_FALSE(out(0));
  EXPECT_EQ(latched_count(0), 100U);
  to_tick(1 + 100);
  EXPECT_TRUE(out(0));
}

TEST_F(Pit, Mode3OddCountIsHighOneClockLonger) {
  control(0, 3);
  load(0, 7);
  to_tick(1 + 3);
  EXPECT_TRUE(out(0));
  to_tick(1 + 4);
  EXPECT_FALSE(out(0));
  to_tick(1 + 7);
  EXPECT_TRUE(out(0));
}

TEST_F(Pit, Mode3GivesOneEdgeEachPeriod) {
  control(0, 3);
  load(0, 0);
  irq0_.rising_edges = 0;
  clock_.advance(kNanosecondsPerSecond);
  EXPECT_EQ(irq0_.rising_edges, 18);
}

TEST_F(Pit, Mode4StrobesForOneClockAndRaisesIrq0) {
  control(0, 4);
  load(0, 100);
  irq0_.rising_edges = 0;
  to_tick(100);
  EXPECT_TRUE(out(0));
  to_tick(101);
  EXPECT_FALSE(out(0));
  EXPECT_EQ(irq0_.rising_edges, 0);
  to_tick(102);
  EXPECT_TRUE(out(0));
  EXPECT_EQ(irq0_.rising_edges, 1);
  to_tick(500000);
  EXPECT_EQ(irq0_.rising_edges, 1);
}

TEST_F(Pit, Mode4CanBeRearmedByACountAlone) {
  control(0, 4);
  load(0, 100);
  to_tick(50);
  load(0, 100);
  irq0_.rising_edges = 0;
  to_tick(151);
  EXPECT_EQ(irq0_.rising_edges, 0);
  to_tick(152);
  EXPECT_EQ(irq0_.rising_edges, 1);
}

TEST_F(Pit, Mode5StrobesAfterTheGateRises) {
  control(2, 5);
  load(2, 100);
  to_tick(200);
  EXPECT_TRUE(out(2));
  out8(port_61(), 0, 1);
  to_tick(301);
  EXPECT_FALSE(out(2));
  to_tick(302);
  EXPECT_TRUE(out(2));
}

TEST_F(Pit, CountZeroMeansTheWholeModulus) {
  control(0, 2);
  load(0, 0);
  to_tick(1 + 1);
  EXPECT_EQ(latched_count(0), 65535U);
}

TEST_F(Pit, BcdCounterCountsInDecimal) {
  control(0, 0, true);
  load(0, 0x1000);
  to_tick(1 + 1);
  EXPECT_EQ(latched_count(0), 0x0999U);
  to_tick(1 + 1001);
  EXPECT_EQ(latched_count(0), 0x9999U);
}

TEST_F(Pit, LatchHoldsUntilReadWhileCountingGoesOn) {
  control(0, 2);
  load(0, 1000);
  to_tick(1 + 100);
  out8(timer(), 3, 0x00);
  to_tick(1 + 200);
  out8(timer(), 3, 0x00);
  EXPECT_EQ(read_count(0), 900U);
  EXPECT_EQ(read_count(0), 800U);
}

TEST_F(Pit, LowByteAccessReadsAndWritesOneByte) {
  out8(timer(), 3, 0x10 | 2 << 1);
  out8(timer(), 0, 200);
  to_tick(1 + 50);
  EXPECT_EQ(in8(timer(), 0), 150);
  EXPECT_EQ(in8(timer(), 0), 150);
}

TEST_F(Pit, HighByteAccessLoadsMultiplesOf256) {
  out8(timer(), 3, 0x20 | 2 << 1);
  out8(timer(), 0, 2);
  to_tick(1 + 1);
  EXPECT_EQ(in8(timer(), 0), 1);
}

TEST_F(Pit, ReadBackLatchesStatusAndCountTogether) {
  control(0, 2);
  load(0, 0x1234);
  to_tick(1);
  out8(timer(), 3, 0xc2);
  EXPECT_EQ(in8(timer(), 0), 0xb4);
  EXPECT_EQ(read_count(0), 0x1234U);
}

TEST_F(Pit, ReadBackReachesSeveralCountersAtOnce) {
  control(0, 2);
  load(0, 500);
  control(1, 2);
  load(1, 700);
  to_tick(1 + 100);
  out8(timer(), 3, 0xd6);
  to_tick(1 + 300);
  EXPECT_EQ(read_count(0), 400U);
  EXPECT_EQ(read_count(1), 600U);
}

TEST_F(Pit, StatusShowsNullCountUntilACountIsWritten) {
  control(0, 2);
  EXPECT_EQ(status(0) & 0x40, 0x40);
  load(0, 100);
  EXPECT_EQ(status(0) & 0x40, 0x00);
}

TEST_F(Pit, Port61ShowsGateSpeakerAndOut2) {
  control(2, 0);
  load(2, 100);
  out8(port_61(), 0, 0x03);
  EXPECT_EQ(in8(port_61(), 0) & 0x23, 0x03);
  to_tick(101);
  EXPECT_EQ(in8(port_61(), 0) & 0x23, 0x23);
}

TEST_F(Pit, Mode0GateLowFreezesTheCount) {
  control(2, 0);
  out8(port_61(), 0, 1);
  load(2, 100);
  to_tick(1 + 30);
  out8(port_61(), 0, 0);
  to_tick(1000);
  EXPECT_EQ(latched_count(2), 70U);
  out8(port_61(), 0, 1);
  to_tick(1000 + 69);
  EXPECT_FALSE(out(2));
  to_tick(1000 + 70);
  EXPECT_TRUE(out(2));
}

TEST_F(Pit, RefreshBitTogglesEveryEighteenTicks) {
  const uint8_t before = in8(port_61(), 0) & 0x10;
  to_tick(18);
  EXPECT_NE(in8(port_61(), 0) & 0x10, before);
  to_tick(36);
  EXPECT_EQ(in8(port_61(), 0) & 0x10, before);
}

TEST_F(Pit, ControlWordRegisterReadsAllOnes) { EXPECT_EQ(in8(timer(), 3), 0xff); }

TEST(PitWhenLate, MissedPeriodsComeOneByOne) {
  LateClock clock;
  RecordingLine irq0;
  Pit8254 pit(clock, irq0);
  out8(pit.timer_ports(), 3, 0x34);
  out8(pit.timer_ports(), 0, 11932 & 0xff);
  out8(pit.timer_ports(), 0, 11932 >> 8);
  irq0.rising_edges = 0;
  clock.time = 55'000'000;  // five periods of 10 ms and a half
  clock.run_due();
  EXPECT_EQ(irq0.rising_edges, 1);
  for (int i = 0; i < 10; ++i) clock.run_due();
  EXPECT_EQ(irq0.rising_edges, 5);
}

TEST(PitWhenLate, MoreThanASecondIsSkipped) {
  LateClock clock;
  RecordingLine irq0;
  Pit8254 pit(clock, irq0);
  out8(pit.timer_ports(), 3, 0x34);
  out8(pit.timer_ports(), 0, 11932 & 0xff);
  out8(pit.timer_ports(), 0, 11932 >> 8);
  irq0.rising_edges = 0;
  clock.time = 60 * kNanosecondsPerSecond;
  for (int i = 0; i < 1000; ++i) clock.run_due();
  EXPECT_EQ(irq0.rising_edges, 1);
  EXPECT_GT(clock.next_deadline().value(), clock.time);
}

}  // namespace
}  // namespace ringshift

// Periodic timers whose virtual CPU is late, under each policy.
#include "devices/bus/late_ticks.h"

#include <gtest/gtest.h>

#include "devices/interrupts/local_apic.h"
#include "devices/timers/pit8254.h"
#include "devices/timers/rtc_cmos.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000, kSecond = 1'000'000'000;
constexpr unsigned kMillisecondCount = 1193;

// Runs late on purpose: time moves without calling timers.
class LateClock final : public VirtualClock {
 public:
  explicit LateClock(MissedTicks missed) { set_missed_ticks(missed); }
  Nanoseconds now() override { return time; }
  Nanoseconds time = 0;
  void sleep(Nanoseconds by, Nanoseconds step) {
    for (const Nanoseconds end = time + by; time < end;) {
      time += step;
      run_due();
    }
  }

 protected:
  void set_time(Nanoseconds to) override { time = to; }
};

// A wire to a processor that takes an interrupt when it is told to.
class TakenLine final : public InterruptLine {
 public:
  void set_level(bool asserted) override {
    if (asserted && !level_) {
      if (waits_) ++merged;
      waits_ = true;
      if (takes_at_once) take();
    }
    level_ = asserted;
  }
  [[nodiscard]] bool is_waiting() const override { return waits_; }
  void take() {
    if (waits_) ++taken;
    waits_ = false;
  }
  int taken = 0, merged = 0;
  bool takes_at_once = true;

 private:
  bool level_ = false;
  bool waits_ = false;
};

struct PitWorld {
  explicit PitWorld(MissedTicks missed) : clock(missed), pit(clock, line) {
    out8(pit.timer_ports(), 3, 0x34);
    out8(pit.timer_ports(), 0, kMillisecondCount & 0xff);
    out8(pit.timer_ports(), 0, kMillisecondCount >> 8);
    line.taken = 0;  // the wire has gone up with the mode
  }
  LateClock clock;
  TakenLine line;
  Pit8254 pit;
};

// Ticks of a timer with a count of 1193 in so many seconds.
int ticks_in(Nanoseconds time) {
  return static_cast<int>(TickRate(kPitHertz).ticks_at(time) / kMillisecondCount);
}

TEST(LateTicks, AreAllMadeUpByTheIntervalTimer) {
  PitWorld world(MissedTicks::MakeUp);
  world.clock.time = 10 * kSecond;
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(11 * kSecond), 1);
  EXPECT_EQ(world.line.merged, 0);
}

TEST(LateTicks, AreMadeUpAtABoundedRate) {
  PitWorld world(MissedTicks::MakeUp);
  world.clock.time = 100 * kSecond;
  world.clock.sleep(kSecond, kMillisecond / 100);
  EXPECT_LE(world.line.taken, kMostCatchUp * 1001);
  EXPECT_GT(world.line.taken, 4 * 1000);
}

TEST(LateTicks, WaitUntilTheOneBeforeIsTaken) {
  PitWorld world(MissedTicks::MakeUp);
  world.line.takes_at_once = false;
  world.clock.sleep(kSecond, kMillisecond / 10);
  EXPECT_EQ(world.line.taken, 0);
  world.line.take();
  world.line.takes_at_once = true;
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(2 * kSecond), 1);
  EXPECT_EQ(world.line.merged, 0);
}

TEST(LateTicks, AreDroppedByTheIntervalTimer) {
  PitWorld world(MissedTicks::Drop);
  world.clock.time = 10 * kSecond;
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(kSecond) + 1, 1);
}

TEST(LateTicks, AreUsuallyGivenUpBeyondASecond) {
  PitWorld world(MissedTicks::Usual);
  world.clock.time = kSecond / 2;
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(3 * kSecond / 2), 1);
  world.line.taken = 0;
  world.clock.time += 10 * kSecond;
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(kSecond), 3);
}

TEST(LateTicks, AreForgottenWhenTheTimerIsSetAnew) {
  PitWorld world(MissedTicks::MakeUp);
  world.clock.time = 10 * kSecond;
  out8(world.pit.timer_ports(), 3, 0x34);
  out8(world.pit.timer_ports(), 0, kMillisecondCount & 0xff);
  out8(world.pit.timer_ports(), 0, kMillisecondCount >> 8);
  world.clock.sleep(kSecond, kMillisecond / 50);
  EXPECT_NEAR(world.line.taken, ticks_in(kSecond), 1);
}

// ---- the local APIC's timer: 100 Hz ----

constexpr uint64_t kSpurious = 0xf0, kTimer = 0x320, kInitial = 0x380, kDivide = 0x3e0, kEnd = 0xb0;

struct ApicWorld {
  explicit ApicWorld(MissedTicks missed, uint32_t masked = 0) : clock(missed), apic(clock) {
    write(kSpurious, 0x1ff);
    write(kDivide, 0xb);
    write(kTimer, 0x30 | 1U << 17 | masked);
    write(kInitial, kLocalApicHertz / 100);
  }
  void write(uint64_t offset, uint32_t value) { apic.write(offset, AccessWidth::Dword, value); }
  void take_for(Nanoseconds time) {
    for (const Nanoseconds end = clock.time + time; clock.time < end;) {
      clock.sleep(kMillisecond / 10, kMillisecond / 10);
      take();
    }
  }
  void take() {
    if (!apic.pending()) return;
    (void)apic.acknowledge();
    write(kEnd, 0);
    ++taken;
  }
  LateClock clock;
  LocalApic apic;
  int taken = 0;
};

TEST(LateTicks, AreMadeUpByTheLocalApicToo) {
  ApicWorld world(MissedTicks::MakeUp);
  world.clock.time = 10 * kSecond;
  world.take_for(2 * kSecond);
  EXPECT_NEAR(world.taken, 1200, 1);
  world.clock.sleep(kSecond, kMillisecond);  // it has interrupts off
  world.take_for(kSecond);
  EXPECT_NEAR(world.taken, 1400, 1);
}

TEST(LateTicks, AreDroppedByTheLocalApic) {
  ApicWorld world(MissedTicks::Drop);
  world.clock.time = 10 * kSecond;
  world.take_for(kSecond);
  EXPECT_NEAR(world.taken, 101, 1);
}

TEST(LateTicks, OfTheLocalApicAreNotOwedToAGuestThatDoesNotListen) {
  ApicWorld world(MissedTicks::MakeUp, 1U << 16);
  world.clock.time = 10 * kSecond;
  world.clock.sleep(kSecond, kMillisecond);
  world.write(kTimer, 0x30 | 1U << 17);
  world.take_for(kSecond);
  EXPECT_NEAR(world.taken, 100, 1);
}

// ---- the real-time clock: 128 Hz ----

struct RtcWorld {
  explicit RtcWorld(MissedTicks missed) : clock(missed), rtc(clock, line, 0) {
    set(0x0a, 0x29);
    set(0x0b, 0x42);
    (void)read_flags();
  }
  void set(uint8_t index, uint8_t value) {
    out8(rtc, 0, index);
    out8(rtc, 1, value);
  }
  uint8_t read_flags() {
    out8(rtc, 0, 0x0c);
    return in8(rtc, 1);
  }
  void take_for(Nanoseconds time) {
    for (const Nanoseconds end = clock.time + time; clock.time < end;) {
      clock.sleep(kMillisecond / 10, kMillisecond / 10);
      if (!line.level) continue;
      if ((read_flags() & 0x40) != 0) ++taken;
    }
  }
  LateClock clock;
  RecordingLine line;
  RtcCmos rtc;
  int taken = 0;
};

TEST(LateTicks, AreMadeUpByTheRealTimeClock) {
  RtcWorld world(MissedTicks::MakeUp);
  world.clock.time = 10 * kSecond;
  world.take_for(2 * kSecond);
  EXPECT_NEAR(world.taken, 12 * 128, 1);
  world.clock.sleep(kSecond, kMillisecond);  // nobody reads register C
  world.take_for(kSecond);
  EXPECT_NEAR(world.taken, 14 * 128, 1);
}

TEST(LateTicks, OfTheRealTimeClockMergeOtherwise) {
  for (const MissedTicks missed : {MissedTicks::Usual, MissedTicks::Drop}) {
    RtcWorld world(missed);
    world.clock.time = 10 * kSecond;
    world.take_for(kSecond);
    EXPECT_NEAR(world.taken, 129, 1);
  }
}

TEST(LateTicks, OfTheRealTimeClockEndWithItsInterrupt) {
  RtcWorld world(MissedTicks::MakeUp);
  world.clock.time = 10 * kSecond;
  world.take_for(kMillisecond);
  world.set(0x0b, 0x02);
  world.set(0x0b, 0x42);
  (void)world.read_flags();
  world.taken = 0;
  world.take_for(kSecond);
  EXPECT_NEAR(world.taken, 128, 1);
}

}  // namespace
}  // namespace ringshift

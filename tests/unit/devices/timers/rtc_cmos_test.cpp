#include "devices/timers/rtc_cmos.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr int64_t kSecond = kNanosecondsPerSecond;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kStart = 951782399;  // 2000-02-28 23:59:59 UTC, a Monday

class Rtc : public ::testing::Test {
 protected:
  unsigned read(unsigned index) {
    out8(rtc_, 0, index);
    return in8(rtc_, 1);
  }
  void write(unsigned index, unsigned value) {
    out8(rtc_, 0, index);
    out8(rtc_, 1, value);
  }
  ManualClock clock_;
  RecordingLine irq_;
  RtcCmos rtc_{clock_, irq_, kStart};
};

TEST_F(Rtc, ShowsTheStartTimeInBcd) {
  EXPECT_EQ(read(0), 0x59U);
  EXPECT_EQ(read(2), 0x59U);
  EXPECT_EQ(read(4), 0x23U);
  EXPECT_EQ(read(6), 0x02U);
  EXPECT_EQ(read(7), 0x28U);
  EXPECT_EQ(read(8), 0x02U);
  EXPECT_EQ(read(9), 0x00U);
  EXPECT_EQ(read(0x32), 0x20U);
}

TEST_F(Rtc, LeapDayFollowsInTheYear2000) {
  clock_.advance(kSecond);
  EXPECT_EQ(read(0), 0x00U);
  EXPECT_EQ(read(4), 0x00U);
  EXPECT_EQ(read(6), 0x03U);
  EXPECT_EQ(read(7), 0x29U);
  EXPECT_EQ(read(8), 0x02U);
  clock_.advance(86400 * kSecond);
  EXPECT_EQ(read(7), 0x01U);
  EXPECT_EQ(read(8), 0x03U);
}

TEST_F(Rtc, TheWeekdayThatTheGuestWritesGoesOnFromThere) {
  write(6, 0x07);  // Saturday, whatever the date says
  EXPECT_EQ(read(6), 0x07U);
  EXPECT_EQ(read(7), 0x28U);
  clock_.advance(kSecond);
  EXPECT_EQ(read(6), 0x01U);
  // As in the chip, where it is a counter of its own: another day of the month leaves it alone.
  write(7, 0x05);
  EXPECT_EQ(read(7), 0x05U);
  EXPECT_EQ(read(6), 0x01U);
  clock_.advance(86400 * kSecond);
  EXPECT_EQ(read(6), 0x02U);
  EXPECT_EQ(read(7), 0x06U);
}

TEST_F(Rtc, BinaryModeShowsPlainNumbers) {
  write(0x0b, 0x06);
  EXPECT_EQ(read(0), 59U);
  EXPECT_EQ(read(4), 23U);
  EXPECT_EQ(read(0x32), 20U);
}

TEST_F(Rtc, TwelveHourModeMarksAfternoon) {
  write(0x0b, 0x00);
  EXPECT_EQ(read(4), 0x91U);
  clock_.advance(kSecond);
  EXPECT_EQ(read(4), 0x12U);
}

TEST_F(Rtc, SetBitFreezesTheRegistersAndTimeWrittenGoesOnFromThere) {
  write(0x0b, 0x82);
  write(0, 0x10);
  write(2, 0x20);
  write(4, 0x03);
  write(7, 0x15);
  write(8, 0x06);
  write(9, 0x99);
  write(0x32, 0x19);
  clock_.advance(5 * kSecond);
  EXPECT_EQ(read(0), 0x10U);
  write(0x0b, 0x02);
  clock_.advance(2 * kSecond);
  EXPECT_EQ(read(0), 0x12U);
  EXPECT_EQ(read(2), 0x20U);
  EXPECT_EQ(read(4), 0x03U);
  EXPECT_EQ(read(6), 0x02U);  // a Tuesday, but nobody has written that
  EXPECT_EQ(read(9), 0x99U);
  EXPECT_EQ(read(0x32), 0x19U);
}

TEST_F(Rtc, SingleRegisterWrittenWhileRunningSticks) {
  write(2, 0x30);
  EXPECT_EQ(read(2), 0x30U);
  clock_.advance(kSecond);
  EXPECT_EQ(read(2), 0x31U);
  EXPECT_EQ(read(0), 0x00U);
}

TEST_F(Rtc, UpdateInProgressIsSetJustBeforeTheSecondEnds) {
  EXPECT_EQ(read(0x0a) & 0x80, 0x00U);
  clock_.advance(kSecond - 2 * kMillisecond);
  EXPECT_EQ(read(0x0a) & 0x80, 0x80U);
  clock_.advance(2 * kMillisecond);
  EXPECT_EQ(read(0x0a) & 0x80, 0x00U);
}

TEST_F(Rtc, DividerResetHoldsTheClockAndReleasesIntoHalfASecond) {
  write(0x0b, 0x82);
  write(0x0a, 0x76);
  write(0, 0x10);
  clock_.advance(3 * kSecond + 100 * kMillisecond);
  write(0x0b, 0x02);
  write(0x0a, 0x26);
  EXPECT_EQ(read(0), 0x10U);
  clock_.advance(499 * kMillisecond);
  EXPECT_EQ(read(0), 0x10U);
  clock_.advance(1 * kMillisecond);
  EXPECT_EQ(read(0), 0x11U);
}

TEST_F(Rtc, RegisterDSaysThatTheBatteryIsGood) {
  write(0x0d, 0x00);
  EXPECT_EQ(read(0x0d), 0x80U);
}

TEST_F(Rtc, UpdateInterruptComesEachSecondOnceRegisterCIsRead) {
  write(0x0b, 0x12);
  clock_.advance(kSecond);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(read(0x0c) & 0x90, 0x90U);
  EXPECT_FALSE(irq_.level);
  clock_.advance(kSecond);
  EXPECT_EQ(irq_.rising_edges, 2);
}

TEST_F(Rtc, UnreadRegisterCHoldsTheLineAndNoTimerRuns) {
  write(0x0b, 0x12);
  clock_.advance(10 * kSecond);
  EXPECT_EQ(irq_.rising_edges, 1);
  EXPECT_FALSE(clock_.next_deadline().has_value());
}

TEST_F(Rtc, PeriodicInterruptRunsAtTheChosenRate) {
  write(0x0b, 0x42);
  int interrupts = 0;
  for (int i = 0; i < 10000; ++i) {
    clock_.advance(100'000);
    if (irq_.level) {
      ++interrupts;
      EXPECT_EQ(read(0x0c) & 0xc0, 0xc0U);
    }
  }
  EXPECT_EQ(interrupts, 1024);
}

TEST_F(Rtc, PeriodicRateOneIs256Hertz) {
  write(0x0a, 0x21);
  write(0x0b, 0x42);
  clock_.advance(3'906'249);
  EXPECT_FALSE(irq_.level);
  clock_.advance(1);
  EXPECT_TRUE(irq_.level);
}

TEST_F(Rtc, PeriodicFlagIsSetWithoutTheInterruptToo) {
  clock_.advance(2 * kMillisecond);
  EXPECT_EQ(read(0x0c), 0x40U);
  EXPECT_EQ(read(0x0c), 0x00U);
  EXPECT_EQ(irq_.rising_edges, 0);
}

TEST_F(Rtc, RateZeroStopsThePeriodicInterrupt) {
  write(0x0a, 0x20);
  write(0x0b, 0x42);
  clock_.advance(kSecond / 2);
  EXPECT_FALSE(irq_.level);
}

TEST_F(Rtc, AlarmComesAtItsTime) {
  write(1, 0x05);
  write(3, 0x00);
  write(5, 0x00);
  write(0x0b, 0x22);
  clock_.advance(5 * kSecond);
  EXPECT_FALSE(irq_.level);
  clock_.advance(1 * kSecond);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(read(0x0c) & 0xa0, 0xa0U);
}

TEST_F(Rtc, AlarmWithDontCareHoursAndMinutesComesEachMinute) {
  write(1, 0x30);
  write(3, 0xc0);
  write(5, 0xff);
  write(0x0b, 0x22);
  for (int minute = 0; minute < 3; ++minute) {
    clock_.advance(60 * kSecond);
    EXPECT_TRUE(irq_.level);
    static_cast<void>(read(0x0c));
  }
  EXPECT_EQ(irq_.rising_edges, 3);
}

TEST_F(Rtc, SettingSetClearsUpdateEnable) {
  write(0x0b, 0x92);
  EXPECT_EQ(read(0x0b), 0x82U);
}

TEST_F(Rtc, CmosMemoryKeepsWhatIsWritten) {
  write(0x0f, 0x0a);
  write(0x7f, 0x55);
  EXPECT_EQ(read(0x0f), 0x0aU);
  EXPECT_EQ(read(0xff), 0x55U);  // bit 7 of the index is the NMI mask
}

TEST_F(Rtc, IndexPortIsWriteOnly) { EXPECT_EQ(in8(rtc_, 0), 0xff); }

TEST_F(Rtc, MemorySizeFieldsDescribeSmallAndLargeMachines) {
  rtc_.set_memory_size(uint64_t{128} << 20);
  EXPECT_EQ(read(0x15) | read(0x16) << 8, 640U);
  EXPECT_EQ(read(0x17) | read(0x18) << 8, 0xffffU);
  EXPECT_EQ(read(0x34) | read(0x35) << 8, 112U * 16);
  rtc_.set_memory_size(uint64_t{8} << 20);
  EXPECT_EQ(read(0x30) | read(0x31) << 8, 7U * 1024);
  EXPECT_EQ(read(0x34) | read(0x35) << 8, 0U);
}

TEST_F(Rtc, NonsenseInTheRegistersIsCarriedNotFatal) {
  write(0x0b, 0x86);
  for (unsigned index = 0; index < 10; ++index) write(index, 0xff);
  write(0x32, 0xff);
  write(0x0b, 0x06);
  EXPECT_LT(read(0), 60U);
  EXPECT_LT(read(2), 60U);
  EXPECT_LT(read(4), 24U);
}

}  // namespace
}  // namespace ringshift

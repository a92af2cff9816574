#include "devices/timers/hpet.h"

#include <gtest/gtest.h>

#include <array>

namespace ringshift {
namespace {

constexpr uint64_t kGeneral = 0x10, kStatus = 0x20, kCounter = 0xf0;
constexpr uint64_t kConfig = 0x100, kComparator = 0x108;
constexpr uint32_t kLevel = 2, kInterrupts = 4, kPeriodic = 8, kValueSet = 0x40, kShort = 0x100;
constexpr uint32_t kInput21 = 21U << 9;

class HpetTest : public ::testing::Test {
 protected:
  uint32_t read(uint64_t offset) { return hpet_.read(offset, AccessWidth::Dword); }
  void write(uint64_t offset, uint32_t value) { hpet_.write(offset, AccessWidth::Dword, value); }
  void compare(uint64_t at) {
    write(kComparator, static_cast<uint32_t>(at));
    write(kComparator + 4, static_cast<uint32_t>(at >> 32));
  }

  ManualClock clock_;
  std::array<int, 32> rises_{};
  std::array<bool, 32> levels_{};
  Hpet hpet_{clock_, [this](unsigned input, bool asserted) {
               if (asserted && !levels_.at(input)) ++rises_.at(input);
               levels_.at(input) = asserted;
             }};
};

TEST_F(HpetTest, SaysItsRateAndThatItReplacesNothing) {
  EXPECT_EQ(read(4), 10'000'000U);
  EXPECT_EQ(read(0), 0x8086'2201U);
  EXPECT_EQ(read(kConfig + 4), 0x00f00000U);
}

TEST_F(HpetTest, CountsWhileEnabledAndCanBeSetWhileHalted) {
  clock_.advance(1000);
  EXPECT_EQ(read(kCounter), 0U);
  write(kCounter, 0xfffffff0);
  write(kCounter + 4, 7);
  write(kGeneral, 1);
  clock_.advance(320);
  EXPECT_EQ(read(kCounter), 0x10U);
  EXPECT_EQ(read(kCounter + 4), 8U);
  write(kCounter, 5);  // not while it runs
  EXPECT_EQ(read(kCounter), 0x10U);
  write(kGeneral, 0);
  clock_.advance(320);
  EXPECT_EQ(read(kCounter), 0x10U);
  write(kGeneral, 3);  // legacy replacement is not there
  EXPECT_EQ(read(kGeneral), 1U);
}

TEST_F(HpetTest, AComparatorGivesOneEdge) {
  write(kConfig, kInterrupts | kInput21);
  compare(100);
  write(kGeneral, 1);
  clock_.advance(999);
  EXPECT_EQ(rises_[21], 0);
  clock_.advance(1);
  EXPECT_EQ(rises_[21], 1);
  EXPECT_FALSE(levels_[21]);
  EXPECT_EQ(read(kStatus), 0U);
  clock_.advance(100000);
  EXPECT_EQ(rises_[21], 1);
}

TEST_F(HpetTest, ALevelStaysUntilTheStatusIsCleared) {
  write(kConfig, kInterrupts | kLevel | kInput21);
  compare(100);
  write(kGeneral, 1);
  clock_.advance(1000);
  EXPECT_TRUE(levels_[21]);
  EXPECT_EQ(read(kStatus), 1U);
  write(kStatus, 2);
  EXPECT_TRUE(levels_[21]);
  write(kStatus, 1);
  EXPECT_FALSE(levels_[21]);
}

TEST_F(HpetTest, APeriodicTimerGoesOn) {
  write(kConfig, kInterrupts | kPeriodic | kValueSet | kInput21);
  compare(2000);
  write(kComparator, 3000);
  write(kGeneral, 1);
  clock_.advance(20'000);
  EXPECT_EQ(rises_[21], 1);
  clock_.advance(30'000);
  EXPECT_EQ(rises_[21], 2);
  clock_.advance(300'000);
  EXPECT_EQ(rises_[21], 12);
}

TEST_F(HpetTest, AThirtyTwoBitComparatorComesRound) {
  write(kCounter, 0xffffff00);
  write(kConfig, kInterrupts | kShort | kInput21);
  compare(0x100);
  write(kGeneral, 1);
  clock_.advance(0x200 * 10);
  EXPECT_EQ(rises_[21], 1);
}

TEST_F(HpetTest, RoutesThatAreNotThereAreNotTaken) {
  write(kConfig, kInterrupts | kInput21);
  write(kConfig, kInterrupts | 3U << 9);
  EXPECT_EQ(read(kConfig) >> 9 & 0x1f, 21U);
}

TEST_F(HpetTest, NarrowWritesAreIgnored) {
  hpet_.write(kGeneral, AccessWidth::Byte, 1);
  EXPECT_EQ(read(kGeneral), 0U);
  EXPECT_EQ(hpet_.read(2, AccessWidth::Word), 0x8086U);
}

}  // namespace
}  // namespace ringshift

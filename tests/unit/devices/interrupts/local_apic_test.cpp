#include "devices/interrupts/local_apic.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringshift {
namespace {

constexpr uint64_t kId = 0x20, kTaskPriority = 0x80, kProcessorPriority = 0xa0, kEnd = 0xb0;
constexpr uint64_t kLogical = 0xd0, kFormat = 0xe0, kSpurious = 0xf0, kInService = 0x100;
constexpr uint64_t kRequest = 0x200, kError = 0x280, kCommand = 0x300, kCommandHigh = 0x310;
constexpr uint64_t kTimer = 0x320, kLint0 = 0x350, kErrorEntry = 0x370, kInitial = 0x380;
constexpr uint64_t kCurrent = 0x390, kDivide = 0x3e0;
constexpr Nanoseconds kTick = 40;
constexpr uint32_t kMasked = 1U << 16, kPeriodic = 1U << 17, kByOne = 0xb;

class LocalApicTest : public ::testing::Test {
 protected:
  LocalApicTest() {
    apic_.set_on_output([this] { ++outputs_; });
    apic_.set_on_end([this](uint8_t vector) { ended_.push_back(vector); });
  }
  void enable() { write(kSpurious, 0x1ff); }
  uint32_t read(uint64_t offset) { return apic_.read(offset, AccessWidth::Dword); }
  void write(uint64_t offset, uint32_t value) { apic_.write(offset, AccessWidth::Dword, value); }

  ManualClock clock_;
  LocalApic apic_{clock_};
  int outputs_ = 0;
  std::vector<uint8_t> ended_;
};

TEST_F(LocalApicTest, StartsAsFirmwareLeavesItWithThePairPassingThrough) {
  EXPECT_TRUE(apic_.passes_external());
  EXPECT_FALSE(apic_.pending());
  EXPECT_EQ(read(0x30), 0x00050014U);
  EXPECT_EQ(read(kSpurious), 0xffU);
  EXPECT_EQ(read(kTimer), kMasked);
  write(kLint0, kMasked | 0x700);
  EXPECT_FALSE(apic_.passes_external());
}

TEST_F(LocalApicTest, HearsNothingUntilSoftwareEnablesIt) {
  EXPECT_FALSE(apic_.deliver(0x40, TriggerMode::Edge));
  EXPECT_FALSE(apic_.pending());
  enable();
  EXPECT_TRUE(apic_.deliver(0x40, TriggerMode::Edge));
  EXPECT_TRUE(apic_.pending());
  EXPECT_EQ(outputs_, 1);
}

TEST_F(LocalApicTest, DisablingMasksTheLocalEntries) {
  enable();
  write(kTimer, 0x30);
  write(kSpurious, 0xff);
  EXPECT_EQ(read(kTimer), 0x30U | kMasked);
  write(kTimer, 0x30);
  EXPECT_EQ(read(kTimer), 0x30U | kMasked);
}

TEST_F(LocalApicTest, ServesTheHighestVectorAndHoldsBackItsOwnClass) {
  enable();
  apic_.deliver(0x41, TriggerMode::Edge);
  apic_.deliver(0x92, TriggerMode::Edge);
  EXPECT_EQ(read(kRequest + 0x20), 1U << 1);
  ASSERT_EQ(apic_.acknowledge(), 0x92);
  EXPECT_EQ(read(kInService + 0x40), 1U << 18);
  EXPECT_EQ(read(kProcessorPriority), 0x90U);
  EXPECT_FALSE(apic_.pending());
  apic_.deliver(0x93, TriggerMode::Edge);
  EXPECT_FALSE(apic_.pending());
  apic_.deliver(0xa0, TriggerMode::Edge);
  EXPECT_TRUE(apic_.pending());
  EXPECT_EQ(apic_.acknowledge(), 0xa0);
  write(kEnd, 0);
  write(kEnd, 0);
  EXPECT_EQ(apic_.acknowledge(), 0x93);
  write(kEnd, 0);
  EXPECT_EQ(apic_.acknowledge(), 0x41);
  write(kEnd, 0);
  write(kEnd, 0);  // nothing in service any more
  EXPECT_FALSE(apic_.pending());
}

TEST_F(LocalApicTest, TaskPriorityHoldsBackWhatIsNotAboveIt) {
  enable();
  write(kTaskPriority, 0x4f);
  apic_.deliver(0x45, TriggerMode::Edge);
  EXPECT_FALSE(apic_.pending());
  EXPECT_EQ(read(kProcessorPriority), 0x4fU);
  write(kTaskPriority, 0x30);
  EXPECT_TRUE(apic_.pending());
}

TEST_F(LocalApicTest, OnlyLevelInterruptsTellTheirEnd) {
  enable();
  apic_.deliver(0x50, TriggerMode::Level);
  ASSERT_EQ(apic_.acknowledge(), 0x50);
  write(kEnd, 0);
  apic_.deliver(0x51, TriggerMode::Edge);
  ASSERT_EQ(apic_.acknowledge(), 0x51);
  write(kEnd, 0);
  EXPECT_EQ(ended_, std::vector<uint8_t>{0x50});
}

TEST_F(LocalApicTest, OneShotTimerCountsDownAndInterruptsOnce) {
  enable();
  write(kTimer, 0x30);
  write(kDivide, kByOne);
  write(kInitial, 5000);
  clock_.advance(2000 * kTick);
  EXPECT_EQ(read(kCurrent), 3000U);
  EXPECT_FALSE(apic_.pending());
  clock_.advance(3000 * kTick);
  EXPECT_EQ(read(kCurrent), 0U);
  ASSERT_TRUE(apic_.pending());
  EXPECT_EQ(apic_.acknowledge(), 0x30);
  write(kEnd, 0);
  clock_.advance(100000 * kTick);
  EXPECT_FALSE(apic_.pending());
}

TEST_F(LocalApicTest, DividerSlowsTheCountAndAChangeKeepsWhatIsLeft) {
  enable();
  write(kTimer, 0x30);
  write(kDivide, 3);  // by sixteen
  write(kInitial, 1000);
  clock_.advance(8000 * kTick);
  EXPECT_EQ(read(kCurrent), 500U);
  write(kDivide, 0);  // by two
  clock_.advance(1000 * kTick - 1);
  EXPECT_FALSE(apic_.pending());
  clock_.advance(1);
  EXPECT_TRUE(apic_.pending());
}

TEST_F(LocalApicTest, AnExpiredTimerIsNotStartedByTheDivider) {
  enable();
  write(kTimer, 0x30);
  write(kDivide, kByOne);
  write(kInitial, 100);
  clock_.advance(100 * kTick);
  ASSERT_EQ(apic_.acknowledge(), 0x30);
  write(kEnd, 0);
  write(kDivide, 3);
  clock_.advance(10000 * kTick);
  EXPECT_FALSE(apic_.pending());
}

TEST_F(LocalApicTest, PeriodicTimerGoesOnAndAZeroCountStopsIt) {
  enable();
  write(kTimer, kPeriodic | 0x31);
  write(kDivide, kByOne);
  write(kInitial, 20000);
  for (int i = 0; i < 3; ++i) {
    clock_.advance(20000 * kTick);
    ASSERT_EQ(apic_.acknowledge(), 0x31);
    write(kEnd, 0);
  }
  write(kInitial, 0);
  clock_.advance(100000 * kTick);
  EXPECT_FALSE(apic_.pending());
  EXPECT_FALSE(clock_.next_deadline().has_value());
}

TEST_F(LocalApicTest, AMaskedTimerIsSilent) {
  enable();
  write(kTimer, kMasked | 0x30);
  write(kInitial, 100);
  clock_.advance(10000 * kTick);
  EXPECT_FALSE(apic_.pending());
}

TEST_F(LocalApicTest, SendsToItselfByShorthandAndByName) {
  enable();
  write(kCommand, 0x40000 | 0x61);
  EXPECT_EQ(apic_.acknowledge(), 0x61);
  write(kEnd, 0);
  write(kId, 0x03000000);
  write(kCommandHigh, 0x03000000);
  write(kCommand, 0x62);
  EXPECT_EQ(apic_.acknowledge(), 0x62);
  write(kEnd, 0);
  write(kCommandHigh, 0x02000000);
  write(kCommand, 0x63);
  write(kCommand, 0xc0000 | 0x64);  // all but itself
  EXPECT_FALSE(apic_.pending());
}

TEST_F(LocalApicTest, AnNmiToItselfWaitsUntilItIsTaken) {
  write(kCommand, 0x400);  // by name; not enabled by software either
  EXPECT_TRUE(apic_.nmi_pending());
  EXPECT_FALSE(apic_.pending());
  EXPECT_EQ(outputs_, 1);
  apic_.take_nmi();
  EXPECT_FALSE(apic_.nmi_pending());
  for (const uint32_t shorthand : {0x40000U, 0x80000U, 0xc0000U})
    write(kCommand, shorthand | 0x400);
  write(kCommandHigh, 0x01000000);
  write(kCommand, 0x400);  // to a processor that is not there
  EXPECT_FALSE(apic_.nmi_pending());
}

TEST_F(LocalApicTest, WhatItCannotObeyIsNamedAndWhatOthersGetIsAccepted) {
  std::vector<std::string> refused;
  apic_.set_on_refusal([&](const char* message) { refused.emplace_back(message); });
  write(kCommandHigh, 0x01000000);
  for (const uint32_t message : {0xc500U, 0x8500U, 0x60aU, 0x200U}) write(kCommand, message);
  EXPECT_EQ(read(kCommand) & 0x1000, 0U);  // sent
  write(kCommandHigh, 0);
  write(kCommand, 0x8500);   // INIT taken back
  write(kCommand, 0x060a);   // start-up, to one that runs
  write(kCommand, 0xc4500);  // INIT to the others
  EXPECT_TRUE(refused.empty());
  write(kCommand, 0xc500);
  write(kCommand, 0x0200);
  EXPECT_EQ(refused, (std::vector<std::string>{"INIT", "SMI"}));
}

TEST_F(LocalApicTest, LogicalDestinationsFollowTheModel) {
  write(kLogical, 0x02000000);
  EXPECT_TRUE(apic_.is_addressed(0x03, DestinationMode::Logical));
  EXPECT_FALSE(apic_.is_addressed(0x04, DestinationMode::Logical));
  write(kFormat, 0);  // clusters: number in the high half
  write(kLogical, 0x12000000);
  EXPECT_TRUE(apic_.is_addressed(0x13, DestinationMode::Logical));
  EXPECT_FALSE(apic_.is_addressed(0x23, DestinationMode::Logical));
  EXPECT_TRUE(apic_.is_addressed(0xff, DestinationMode::Logical));
}

TEST_F(LocalApicTest, IllegalVectorsAndRegistersAreErrors) {
  enable();
  write(kErrorEntry, 0xfe);
  write(kCommand, 0x40000 | 0x0f);
  EXPECT_EQ(apic_.acknowledge(), 0xfe);
  EXPECT_EQ(read(kError), 0U);  // latched by a write
  write(kError, 0);
  EXPECT_EQ(read(kError), 1U << 5);
  (void)read(0x3f0);
  write(kError, 0);
  EXPECT_EQ(read(kError), 1U << 7);
}

TEST_F(LocalApicTest, NarrowWritesAreIgnoredAndNarrowReadsAreParts) {
  apic_.write(kSpurious, AccessWidth::Byte, 0x23);
  apic_.write(kSpurious + 4, AccessWidth::Dword, 0x1ff);
  EXPECT_EQ(read(kSpurious), 0xffU);
  EXPECT_EQ(apic_.read(0x32, AccessWidth::Byte), 0x05U);
}

TEST_F(LocalApicTest, SwitchedOffItIsGoneAndComesBackReset) {
  enable();
  apic_.deliver(0x40, TriggerMode::Edge);
  apic_.set_enabled(false);
  EXPECT_FALSE(apic_.pending());
  EXPECT_TRUE(apic_.passes_external());
  EXPECT_EQ(read(kSpurious), ~0U);
  apic_.set_enabled(true);
  EXPECT_EQ(read(kSpurious), 0xffU);
  EXPECT_FALSE(apic_.pending());
}

}  // namespace
}  // namespace ringshift

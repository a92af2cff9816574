#include "devices/interrupts/pic8259.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr uint8_t kMasterBase = 0x20, kSlaveBase = 0x28;
constexpr uint8_t kNonSpecificEoi = 0x20;

class Pic : public ::testing::Test {
 protected:
  Pic() { initialize(0x01, 0x01); }

  void initialize(uint8_t master_icw4, uint8_t slave_icw4) {
    out8(master(), 0, 0x11);
    out8(master(), 1, kMasterBase);
    out8(master(), 1, 0x04);
    out8(master(), 1, master_icw4);
    out8(slave(), 0, 0x11);
    out8(slave(), 1, kSlaveBase);
    out8(slave(), 1, 0x02);
    out8(slave(), 1, slave_icw4);
  }
  PortDevice& master() { return pics_.master_ports(); }
  PortDevice& slave() { return pics_.slave_ports(); }
  PortDevice& elcr() { return pics_.elcr_ports(); }
  void raise(unsigned irq) { pics_.line(irq).set_level(true); }
  void lower(unsigned irq) { pics_.line(irq).set_level(false); }
  uint8_t read_isr(PortDevice& chip) {
    out8(chip, 0, 0x0b);
    return in8(chip, 0);
  }
  uint8_t read_irr(PortDevice& chip) {
    out8(chip, 0, 0x0a);
    return in8(chip, 0);
  }
  InterruptControllerPair pics_;
};

TEST(PicAtPowerOn, NothingIsDeliveredBeforeInitialization) {
  InterruptControllerPair pics;
  pics.line(0).set_level(true);
  EXPECT_FALSE(pics.pending());
}

TEST_F(Pic, EdgeOnUnmaskedLineIsDeliveredWithItsVector) {
  raise(3);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 3);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, MaskedLineWaitsInIrrAndIsDeliveredWhenUnmasked) {
  out8(master(), 1, 0x08);
  raise(3);
  EXPECT_FALSE(pics_.pending());
  EXPECT_EQ(read_irr(master()), 0x08);
  out8(master(), 1, 0x00);
  EXPECT_TRUE(pics_.pending());
}

TEST_F(Pic, MaskReadsBack) {
  out8(master(), 1, 0xa5);
  out8(slave(), 1, 0x5a);
  EXPECT_EQ(in8(master(), 1), 0xa5);
  EXPECT_EQ(in8(slave(), 1), 0x5a);
}

TEST_F(Pic, LowerLineNumberIsDeliveredFirst) {
  raise(5);
  raise(1);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 1);
}

TEST_F(Pic, LevelInServiceHoldsBackItselfAndLowerOnes) {
  raise(4);
  pics_.acknowledge();
  raise(6);
  lower(4);
  raise(4);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, LevelInServiceIsInterruptedByHigherOne) {
  raise(4);
  pics_.acknowledge();
  raise(1);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 1);
  EXPECT_EQ(read_isr(master()), 0x12);
}

TEST_F(Pic, NonSpecificEoiClearsTheHighestInService) {
  raise(4);
  pics_.acknowledge();
  raise(1);
  pics_.acknowledge();
  out8(master(), 0, kNonSpecificEoi);
  EXPECT_EQ(read_isr(master()), 0x10);
}

TEST_F(Pic, SpecificEoiClearsTheNamedLevel) {
  raise(4);
  pics_.acknowledge();
  raise(1);
  pics_.acknowledge();
  out8(master(), 0, 0x64);
  EXPECT_EQ(read_isr(master()), 0x02);
}

TEST_F(Pic, EdgeLineThatStaysHighIsDeliveredOnce) {
  raise(3);
  pics_.acknowledge();
  out8(master(), 0, kNonSpecificEoi);
  raise(3);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, LevelLineThatStaysHighIsDeliveredAgainAfterEoi) {
  out8(elcr(), 0, 0x08);
  raise(3);
  pics_.acknowledge();
  EXPECT_FALSE(pics_.pending());
  out8(master(), 0, kNonSpecificEoi);
  EXPECT_TRUE(pics_.pending());
}

TEST_F(Pic, ElcrKeepsOnlyBitsThatMayBeLevel) {
  out8(elcr(), 0, 0xff);
  out8(elcr(), 1, 0xff);
  EXPECT_EQ(in8(elcr(), 0), 0xf8);
  EXPECT_EQ(in8(elcr(), 1), 0xde);
}

TEST_F(Pic, SlaveLineIsDeliveredThroughTheCascade) {
  raise(12);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kSlaveBase + 4);
  EXPECT_EQ(read_isr(master()), 0x04);
  EXPECT_EQ(read_isr(slave()), 0x10);
}

TEST_F(Pic, SlaveLinesRankBetweenMasterLinesOneAndThree) {
  raise(3);
  raise(8);
  EXPECT_EQ(pics_.acknowledge(), kSlaveBase + 0);
  raise(1);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 1);
}

TEST_F(Pic, SecondSlaveRequestFollowsAfterBothEois) {
  raise(8);
  raise(9);
  pics_.acknowledge();
  EXPECT_FALSE(pics_.pending());
  out8(slave(), 0, kNonSpecificEoi);
  EXPECT_FALSE(pics_.pending());
  out8(master(), 0, kNonSpecificEoi);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kSlaveBase + 1);
}

TEST_F(Pic, CascadeMaskedOnMasterHidesTheSlave) {
  out8(master(), 1, 0x04);
  raise(14);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, CascadeLineItselfIsNotWired) {
  raise(2);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, RequestWithdrawnBeforeAcknowledgeIsSpuriousSeven) {
  raise(3);
  lower(3);
  EXPECT_FALSE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 7);
  EXPECT_EQ(read_isr(master()), 0x00);
}

TEST_F(Pic, SlaveRequestTakenByPollLeavesNothingPending) {
  raise(10);
  out8(slave(), 0, 0x0c);
  EXPECT_EQ(in8(slave(), 0), 0x82);
  EXPECT_FALSE(pics_.pending());
  EXPECT_EQ(read_isr(slave()), 0x04);
}

TEST_F(Pic, PollWithoutRequestReadsZero) {
  out8(master(), 0, 0x0c);
  EXPECT_EQ(in8(master(), 0), 0x00);
}

TEST_F(Pic, PollAcknowledgesOnceOnly) {
  raise(5);
  out8(master(), 0, 0x0c);
  EXPECT_EQ(in8(master(), 0), 0x85);
  EXPECT_EQ(read_isr(master()), 0x20);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, AutomaticEoiLeavesNothingInService) {
  initialize(0x03, 0x01);
  raise(3);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 3);
  EXPECT_EQ(read_isr(master()), 0x00);
  raise(5);
  EXPECT_TRUE(pics_.pending());
}

TEST_F(Pic, RotationInAutomaticEoiModeMakesTheServedLineLowest) {
  initialize(0x03, 0x01);
  out8(master(), 0, 0x80);
  raise(0);
  pics_.acknowledge();
  lower(0);
  raise(0);
  raise(5);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 5);
  out8(master(), 0, 0x00);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 0);
}

TEST_F(Pic, RotateOnNonSpecificEoiMakesTheServedLineLowest) {
  raise(1);
  pics_.acknowledge();
  out8(master(), 0, 0xa0);
  lower(1);
  raise(1);
  raise(6);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 6);
}

TEST_F(Pic, RotateOnSpecificEoiMakesTheNamedLineLowest) {
  raise(3);
  pics_.acknowledge();
  out8(master(), 0, 0xe3);
  raise(0);
  raise(5);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 5);
}

TEST_F(Pic, SetPriorityCommandChoosesTheLowestLine) {
  out8(master(), 0, 0xc4);
  raise(4);
  raise(5);
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 5);
}

TEST_F(Pic, SpecialMaskModeLetsLowerLinesThroughWhileOneIsServed) {
  raise(1);
  pics_.acknowledge();
  raise(6);
  EXPECT_FALSE(pics_.pending());
  out8(master(), 1, 0x02);
  out8(master(), 0, 0x68);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kMasterBase + 6);
}

TEST_F(Pic, NonSpecificEoiInSpecialMaskModeSparesTheMaskedLevel) {
  raise(1);
  pics_.acknowledge();
  out8(master(), 1, 0x02);
  out8(master(), 0, 0x68);
  raise(6);
  pics_.acknowledge();
  out8(master(), 0, kNonSpecificEoi);
  EXPECT_EQ(read_isr(master()), 0x02);
}

TEST_F(Pic, SpecialMaskModeEndsOnCommand) {
  raise(1);
  pics_.acknowledge();
  out8(master(), 1, 0x02);
  out8(master(), 0, 0x68);
  out8(master(), 0, 0x48);
  raise(6);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, SpecialFullyNestedMasterLetsTheSlaveInterruptItself) {
  initialize(0x11, 0x01);
  raise(12);
  pics_.acknowledge();
  raise(9);
  EXPECT_TRUE(pics_.pending());
  EXPECT_EQ(pics_.acknowledge(), kSlaveBase + 1);
}

TEST_F(Pic, SpecialFullyNestedMasterStillHoldsBackLowerMasterLines) {
  initialize(0x11, 0x01);
  raise(12);
  pics_.acknowledge();
  raise(5);
  EXPECT_FALSE(pics_.pending());
}

TEST_F(Pic, InitializationForgetsEdgesMaskAndService) {
  raise(3);
  raise(4);
  pics_.acknowledge();
  out8(master(), 1, 0xf0);
  initialize(0x01, 0x01);
  EXPECT_FALSE(pics_.pending());
  EXPECT_EQ(read_irr(master()), 0x00);
  EXPECT_EQ(read_isr(master()), 0x00);
  EXPECT_EQ(in8(master(), 1), 0x00);
}

TEST_F(Pic, NothingIsDeliveredWhileInitializationIsUnfinished) {
  out8(master(), 0, 0x11);
  raise(1);
  EXPECT_FALSE(pics_.pending());
  out8(master(), 1, 0x40);
  out8(master(), 1, 0x04);
  out8(master(), 1, 0x01);
  EXPECT_EQ(pics_.acknowledge(), 0x41);
}

TEST_F(Pic, InitializationWithoutIcw4EndsAfterIcw3) {
  out8(master(), 0, 0x10);
  out8(master(), 1, 0x50);
  out8(master(), 1, 0x04);
  out8(master(), 1, 0xfe);
  EXPECT_EQ(in8(master(), 1), 0xfe);
}

TEST_F(Pic, SingleModeSkipsIcw3) {
  out8(master(), 0, 0x13);
  out8(master(), 1, 0x50);
  out8(master(), 1, 0x01);
  out8(master(), 1, 0xfd);
  EXPECT_EQ(in8(master(), 1), 0xfd);
}

TEST_F(Pic, OutputCallbackRunsOnEachRiseOnly) {
  int calls = 0;
  pics_.set_on_output([&calls] { ++calls; });
  raise(3);
  raise(4);
  EXPECT_EQ(calls, 1);
  pics_.acknowledge();
  out8(master(), 0, kNonSpecificEoi);
  EXPECT_EQ(calls, 2);
}

TEST_F(Pic, IrrShowsTheCascadeRequestOnTheMaster) {
  raise(15);
  EXPECT_EQ(read_irr(master()), 0x04);
  EXPECT_EQ(read_irr(slave()), 0x80);
}

}  // namespace
}  // namespace ringshift

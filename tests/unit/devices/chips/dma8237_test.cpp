#include "devices/chips/dma8237.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

TEST(Dma, AddressAndCountReadBackThroughTheFlipFlop) {
  DmaControllers dma;
  out8(dma.first_ports(), 12, 0);
  out8(dma.first_ports(), 4, 0x34);
  out8(dma.first_ports(), 4, 0x12);
  EXPECT_EQ(in8(dma.first_ports(), 4), 0x34);
  EXPECT_EQ(in8(dma.first_ports(), 4), 0x12);
}

TEST(Dma, ClearingTheFlipFlopStartsAtTheLowByte) {
  DmaControllers dma;
  out8(dma.first_ports(), 1, 0x34);
  out8(dma.first_ports(), 12, 0);
  out8(dma.first_ports(), 1, 0x78);
  out8(dma.first_ports(), 1, 0x56);
  EXPECT_EQ(in8(dma.first_ports(), 1), 0x78);
  EXPECT_EQ(in8(dma.first_ports(), 1), 0x56);
}

TEST(Dma, MasterClearMasksAllChannels) {
  DmaControllers dma;
  out8(dma.first_ports(), 14, 0);
  EXPECT_EQ(in8(dma.first_ports(), 15), 0xf0);
  out8(dma.first_ports(), 10, 0x06);
  EXPECT_EQ(in8(dma.first_ports(), 15), 0xf4);
  out8(dma.first_ports(), 13, 0);
  EXPECT_EQ(in8(dma.first_ports(), 15), 0xff);
}

TEST(Dma, SoftwareRequestShowsInStatusAndNothingEverEnds) {
  DmaControllers dma;
  out8(dma.first_ports(), 9, 0x05);
  EXPECT_EQ(in8(dma.first_ports(), 8), 0x20);
}

TEST(Dma, SecondControllerAnswersAtEvenPorts) {
  DmaControllers dma;
  out8(dma.second_ports(), 0x18, 0);  // 0xd8: clear flip-flop
  out8(dma.second_ports(), 0x04, 0xcd);
  out8(dma.second_ports(), 0x04, 0xab);
  EXPECT_EQ(in8(dma.second_ports(), 0x04), 0xcd);
  EXPECT_EQ(in8(dma.second_ports(), 0x05), 0xab);
}

TEST(Dma, PageRegistersReadBackEachForItself) {
  DmaControllers dma;
  for (unsigned i = 0; i < 15; ++i) out8(dma.page_ports(), i, 0x40 + i);
  for (unsigned i = 0; i < 15; ++i) EXPECT_EQ(in8(dma.page_ports(), i), 0x40 + i);
}

}  // namespace
}  // namespace ringshift

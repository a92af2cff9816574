#include "devices/chips/test_device.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ringshift {
namespace {

class TestDeviceTest : public ::testing::Test {
 protected:
  TestDeviceTest() { EXPECT_TRUE(device_.attach(ports_, memory_)); }
  std::vector<std::pair<unsigned, bool>> lines_;
  int flushes_ = 0;
  PortBus ports_;
  MemoryBus memory_;
  TestDevice device_{[this](unsigned line, bool asserted) { lines_.emplace_back(line, asserted); },
                     [this] { ++flushes_; }};
};

TEST_F(TestDeviceTest, RegisterIsReadAsItIsWrittenInEveryWidth) {
  ports_.write(0xe0, AccessWidth::Dword, 0x44332211);
  EXPECT_EQ(ports_.read(0xe0, AccessWidth::Dword), 0x44332211U);
  EXPECT_EQ(ports_.read(0xe1, AccessWidth::Word), 0x3322U);
  EXPECT_EQ(ports_.read(0xe3, AccessWidth::Byte), 0x44U);
  ports_.write(0xe2, AccessWidth::Word, 0xaabb);
  EXPECT_EQ(ports_.read(0xe0, AccessWidth::Dword), 0xaabb2211U);
  EXPECT_EQ(ports_.read(0xe8, AccessWidth::Dword), 0xaabb2211U);
  ports_.write(0xe9, AccessWidth::Word, 0x1234);
  EXPECT_EQ(ports_.read(0xe0, AccessWidth::Dword), 0xaa123411U);
}

TEST_F(TestDeviceTest, LinesAreSetByHand) {
  ports_.write(0x2000, AccessWidth::Byte, 1);
  ports_.write(0x2017, AccessWidth::Byte, 0x80);
  ports_.write(0x2000, AccessWidth::Byte, 0);
  ports_.write(0x2018, AccessWidth::Byte, 1);  // nobody's
  EXPECT_EQ(lines_, (std::vector<std::pair<unsigned, bool>>{{0, true}, {23, true}, {0, false}}));
}

TEST_F(TestDeviceTest, FlushTakesAWholeAddress) {
  ports_.write(0xe4, AccessWidth::Byte, 0);
  ports_.write(0xe4, AccessWidth::Word, 0);
  EXPECT_EQ(flushes_, 0);
  ports_.write(0xe4, AccessWidth::Dword, 0x123000);
  EXPECT_EQ(flushes_, 1);
}

TEST_F(TestDeviceTest, MemoryKeepsItsBytesAndIsADevices) {
  memory_.write(GuestPhysical(0xff00fffc), AccessWidth::Dword, 0xcafef00d);
  EXPECT_EQ(memory_.read(GuestPhysical(0xff00fffe), AccessWidth::Word), 0xcafeU);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xff010000)));
  EXPECT_EQ(memory_.readable_page(GuestPhysical(0xff000000)), nullptr);
}

TEST_F(TestDeviceTest, ThereIsRoomForOne) {
  TestDevice second([](unsigned, bool) {}, [] {});
  EXPECT_FALSE(second.attach(ports_, memory_));
}

}  // namespace
}  // namespace ringshift

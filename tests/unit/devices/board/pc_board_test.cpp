#include "devices/board/pc_board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "shadowmmu/base/counters.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

class Board : public ::testing::Test {
 protected:
  PcBoardConfig config() {
    PcBoardConfig config;
    config.ram_bytes = uint64_t{64} << 20;
    config.epoch_seconds = 1'000'000'000;
    config.serial0 = &serial_;
    config.debug_console = &debug_;
    config.on_debug_exit = [this](uint8_t code) { exit_code_ = code; };
    config.on_reset = [this] { ++resets_; };
    config.on_a20 = [this](bool on) { a20_ = on; };
    return config;
  }
  uint32_t in(uint16_t port) { return ports_.read(port, AccessWidth::Byte); }
  void out(uint16_t port, uint32_t value) { ports_.write(port, AccessWidth::Byte, value); }
  void initialize_pics() {
    for (const uint16_t base : {uint16_t{0x20}, uint16_t{0xa0}}) {
      const auto data = static_cast<uint16_t>(base + 1);
      out(base, 0x11);
      out(data, base == 0x20 ? 0x20 : 0x28);
      out(data, base == 0x20 ? 0x04 : 0x02);
      out(data, 0x01);
    }
  }

  ManualClock clock_;
  PortBus ports_;
  MemoryBus memory_;
  RecordingBackend serial_, debug_;
  int exit_code_ = -1;
  int resets_ = 0;
  bool a20_ = true;
  PcBoard board_{clock_, ports_, memory_, config()};
};

TEST_F(Board, TimerReachesTheProcessorAsVector20) {
  initialize_pics();
  out(0x43, 0x34);
  out(0x40, 0x9c);
  out(0x40, 0x2e);
  clock_.advance(10'000'000);
  ASSERT_TRUE(board_.interrupts().pending());
  EXPECT_EQ(board_.interrupts().acknowledge(), 0x20);
}

TEST_F(Board, RealTimeClockReachesTheProcessorThroughTheSlave) {
  initialize_pics();
  out(0x21, 0xfb);
  out(0x70, 0x0b);
  out(0x71, 0x42);
  clock_.advance(1'000'000);
  ASSERT_TRUE(board_.interrupts().pending());
  EXPECT_EQ(board_.interrupts().acknowledge(), 0x28);
}

TEST_F(Board, SerialPortsUseLinesFourAndThree) {
  initialize_pics();
  out(0x21, 0xe7);
  const uint8_t byte[] = {'x'};
  for (const uint16_t base : {uint16_t{0x3f8}, uint16_t{0x2f8}}) {
    out(static_cast<uint16_t>(base + 1), 0x01);
    out(static_cast<uint16_t>(base + 4), 0x08);
  }
  ASSERT_EQ(board_.serial(0).receive(byte), 1U);
  EXPECT_EQ(board_.interrupts().acknowledge(), 0x24);
  out(0x20, 0x20);
  ASSERT_EQ(board_.serial(1).receive(byte), 1U);
  EXPECT_EQ(board_.interrupts().acknowledge(), 0x23);
}

TEST_F(Board, KeyboardUsesLineOne) {
  initialize_pics();
  out(0x21, 0xfd);
  const uint8_t key[] = {0x1c};
  ASSERT_EQ(board_.keyboard_controller().inject_scancodes(key), 1U);
  EXPECT_EQ(board_.interrupts().acknowledge(), 0x21);
  EXPECT_EQ(in(0x60), 0x1eU);
}

TEST_F(Board, ConsolesGetTheirBytes) {
  out(0x3f8, 's');
  out(0xe9, 'd');
  EXPECT_EQ(serial_.text, "s");
  EXPECT_EQ(debug_.text, "d");
  EXPECT_EQ(in(0xe9), 0xe9U);
}

TEST_F(Board, DebugExitGivesAnOddCodeForAnyWidth) {
  ports_.write(0xf4, AccessWidth::Dword, 0x21);
  EXPECT_EQ(exit_code_, 0x43);
  ports_.write(0xf4, AccessWidth::Byte, 0);
  EXPECT_EQ(exit_code_, 1);
}

TEST_F(Board, PostCodeReadsBack) {
  out(0x80, 0x42);
  EXPECT_EQ(in(0x80), 0x42U);
  EXPECT_EQ(board_.debug_ports().post_code(), 0x42);
}

TEST_F(Board, FastA20AndKeyboardControllerShareOneGate) {
  out(0x92, 0x00);
  EXPECT_FALSE(a20_);
  out(0x64, 0xd0);
  EXPECT_EQ(in(0x60) & 0x02, 0x00U);
  out(0x64, 0xd1);
  out(0x60, 0xdf);
  EXPECT_TRUE(a20_);
  EXPECT_EQ(in(0x92) & 0x02, 0x02U);
}

TEST_F(Board, FastResetNeedsARisingBit) {
  out(0x92, 0x03);
  EXPECT_EQ(resets_, 1);
  out(0x92, 0x03);
  EXPECT_EQ(resets_, 1);
  out(0x64, 0xfe);
  EXPECT_EQ(resets_, 2);
}

TEST_F(Board, VgaMemoryIsClaimedAndNoMore) {
  EXPECT_FALSE(memory_.claims(GuestPhysical(0x9ffff)));
  EXPECT_TRUE(memory_.claims(GuestPhysical(0xa0000)));
  EXPECT_TRUE(memory_.claims(GuestPhysical(0xbffff)));
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xc0000)));
  memory_.write(GuestPhysical(0xb8000), AccessWidth::Word, 0x0741);
  EXPECT_EQ(board_.vga().dump_text().substr(0, 2), "A\n");
}

TEST_F(Board, PciConfigurationPortsAreUnclaimed) {
  const uint64_t before = counters().io_unclaimed;
  ports_.write(0xcf8, AccessWidth::Dword, 0x80000000);
  EXPECT_EQ(ports_.read(0xcf8, AccessWidth::Dword), 0xffffffffU);
  EXPECT_EQ(counters().io_unclaimed, before + 2);
}

TEST_F(Board, CmosTellsMemoryAndEquipment) {
  out(0x70, 0x34);
  EXPECT_EQ(in(0x71), 0x00U);
  out(0x70, 0x35);
  EXPECT_EQ(in(0x71), 0x03U);  // 48 MiB above 16 MiB, in units of 64 KiB: 0x300
  out(0x70, 0x14);
  EXPECT_EQ(in(0x71), 0x02U);
}

TEST_F(Board, MissingCallbacksAndBackendsAreHarmless) {
  PortBus ports;
  MemoryBus memory;
  PcBoard bare(clock_, ports, memory, PcBoardConfig{});
  for (uint32_t port = 0; port < 0x10000; ++port) {
    ports.write(static_cast<uint16_t>(port), AccessWidth::Byte, 0xfe);
  }
  EXPECT_FALSE(bare.vga().dump_text().empty());
}

// Every port the board decodes, in every width, and the display memory, while time moves in steps
// from nothing to seconds: nothing may crash, hang or grow without bound.
TEST_F(Board, RandomTrafficAndTimeDoNoHarm) {
  constexpr uint16_t kPorts[] = {0x00,  0x08,  0x0a,  0x20,  0x21,  0x40,  0x41,  0x42,  0x43,
                                 0x60,  0x61,  0x64,  0x70,  0x71,  0x80,  0x81,  0x92,  0xa0,
                                 0xa1,  0xc0,  0xd0,  0xe9,  0xed,  0xf4,  0x2f8, 0x2fb, 0x3b4,
                                 0x3ba, 0x3c0, 0x3c4, 0x3c8, 0x3cf, 0x3d4, 0x3da, 0x3f8, 0x3f9,
                                 0x3fa, 0x3fb, 0x3fc, 0x4d0, 0x4d1};
  constexpr AccessWidth kWidths[] = {AccessWidth::Byte, AccessWidth::Word, AccessWidth::Dword};
  std::mt19937 random(20240607);
  const auto pick = [&random](size_t count) { return random() % count; };
  uint64_t vectors = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint16_t port = kPorts[pick(std::size(kPorts))];
    const AccessWidth width = kWidths[pick(8) < 6 ? 0 : pick(3)];
    if (pick(2) == 0) {
      static_cast<void>(ports_.read(port, width));
    } else {
      ports_.write(port, width, static_cast<uint32_t>(random()));
    }
    if (pick(16) == 0) {
      const GuestPhysical at(0x9fffe + pick(0x20004));
      memory_.write(at, width, static_cast<uint32_t>(random()));
      static_cast<void>(memory_.read(at, width));
    }
    if (pick(8) == 0) clock_.advance(static_cast<Nanoseconds>(pick(50'000)));
    if (pick(4096) == 0) clock_.advance(static_cast<Nanoseconds>(pick(50)) * 10'000'000);
    if (pick(8) == 0) {
      const uint8_t bytes[] = {static_cast<uint8_t>(random()), 1, 2, 3};
      EXPECT_LE(board_.serial(0).receive(bytes), 4U);
      EXPECT_LE(board_.keyboard_controller().inject_scancodes(bytes), 4U);
    }
    if (board_.interrupts().pending()) vectors += board_.interrupts().acknowledge() | 1U;
    serial_.text.clear();
    debug_.text.clear();
  }
  EXPECT_GT(vectors, 0U);
  EXPECT_GE(clock_.next_deadline().value_or(clock_.now()), clock_.now());
  EXPECT_EQ(std::ranges::count(board_.vga().dump_text(), '\n'), 25);
}

}  // namespace
}  // namespace ringshift

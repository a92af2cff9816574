// Every queue and table of the board that a guest or its host's side can fill, driven to its bound:
// the numbers are those of docs/security.md.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "devices/board/pc_board.h"
#include "devices/board/pci_board.h"
#include "devices/chips/fw_cfg.h"
#include "devices/screen/bochs_display.h"
#include "devices/screen/text_display.h"
#include "devices/storage/ide_controller.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr int kMany = 100'000;

TEST(Bounds, KeyboardHoldsSixtyFourBytes) {
  RecordingLine line, mouse_line;
  A20Gate a20({});
  I8042 controller(line, mouse_line, a20, {});
  out8(controller.command_port(), 0, 0xad);  // nothing leaves the keyboard
  const std::vector<uint8_t> codes(kMany, 0x1c);
  EXPECT_EQ(controller.inject_scancodes(codes), 64U);
  EXPECT_EQ(controller.inject_scancodes(codes), 0U);
  for (int i = 0; i < kMany; ++i) {
    out8(controller.data_port(), 0, 0xf2);  // three bytes each, and nobody reads
    out8(controller.command_port(), 0, 0xad);
  }
  size_t bytes = 0;
  out8(controller.command_port(), 0, 0xae);
  for (; (in8(controller.command_port(), 0) & 1) != 0; ++bytes) {
    (void)in8(controller.data_port(), 0);
  }
  EXPECT_LE(bytes, 64U + 1);  // and one in the controller
}

TEST(Bounds, MouseHoldsSixtyFourBytesAndRemembersFour) {
  Ps2Mouse mouse;
  mouse.command(0xee);
  for (int i = 0; i < kMany; ++i) {
    mouse.command(0x55);
    (void)mouse.take_output();
  }
  for (int i = 0; i < kMany; ++i) mouse.command(0x66);
  size_t bytes = 0;
  for (; mouse.has_output(); ++bytes) (void)mouse.take_output();
  EXPECT_EQ(bytes, 64U);
  mouse.command(0xff);
  for (int i = 0; i < kMany; ++i) {
    mouse.command(0xfe);  // again, and again
    for (bytes = 0; mouse.has_output(); ++bytes) (void)mouse.take_output();
    ASSERT_LE(bytes, 4U);
  }
}

TEST(Bounds, SerialPortHoldsSixteenBytes) {
  ManualClock clock;
  RecordingLine line;
  Uart16550 uart(clock, line, nullptr);
  out8(uart, 2, 1);
  const std::vector<uint8_t> bytes(kMany, 'x');
  EXPECT_EQ(uart.receive(bytes), 16U);
  out8(uart, 2, 3);
  out8(uart, 4, 0x10);  // in a loop with itself
  for (int i = 0; i < kMany; ++i) out8(uart, 0, 'y');
  size_t count = 0;
  for (; (in8(uart, 5) & 1) != 0; ++count) (void)in8(uart, 0);
  EXPECT_EQ(count, 16U);
  EXPECT_LE(clock.armed_timers(), 1U);
}

// Each timer is in the queue once, whatever a guest writes wherever.
TEST(Bounds, TimersAreAsManyAsTheBoardHas) {
  ManualClock clock;
  PortBus ports;
  MemoryBus memory;
  PcBoard board(clock, ports, memory, PcBoardConfig());
  std::minstd_rand random(77);
  size_t most = 0;
  for (int i = 0; i < kMany; ++i) {
    const uint16_t all[] = {0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x3f8, 0x3f9, 0x3fa, 0x2f8};
    ports.write(all[random() % std::size(all)], AccessWidth::Byte,
                static_cast<uint32_t>(random() & 0xff));
    if (i % 16 == 0) clock.advance(static_cast<Nanoseconds>(random() % 1'000'000));
    most = std::max(most, clock.armed_timers());
  }
  EXPECT_LE(most, 8U);
}

// A request names up to 4 GiB; the items are those the machine was made with.
TEST(Bounds, FirmwareConfigurationHasNoMoreItemsThanItWasGiven) {
  VectorMemory memory(0x1000);
  ManualClock clock;
  FwCfg fw_cfg(clock, memory);
  for (int i = 0; i < 64; ++i) fw_cfg.add_file("file" + std::to_string(i), {1});
  for (uint32_t item = 0; item < 0x10000; ++item) {
    fw_cfg.ports().write(0, AccessWidth::Word, item);
    (void)fw_cfg.ports().read(1, AccessWidth::Byte);
  }
  fw_cfg.ports().write(0, AccessWidth::Word, 0x19);  // the directory: its count, and no more
  uint32_t count = 0;
  for (int i = 0; i < 4; ++i) count = count << 8 | fw_cfg.ports().read(1, AccessWidth::Byte);
  EXPECT_EQ(count, 64U);
  size_t bytes = 4;
  size_t last = bytes;
  for (; bytes < 8192; ++bytes) {
    if (fw_cfg.ports().read(1, AccessWidth::Byte) != 0) last = bytes;
  }
  EXPECT_LT(last, 4U + 64 * 64);
}

// A disc of any size: sixteen sectors are in the drive at once, whatever a packet asks for.
TEST(Bounds, CdromHoldsSixteenSectors) {
  class Endless final : public DiskBackend {
   public:
    [[nodiscard]] uint64_t bytes() const override { return uint64_t{1} << 40; }
    [[nodiscard]] bool read_only() const override { return true; }
    [[nodiscard]] bool read(uint64_t, std::span<uint8_t> to) override {
      longest = std::max(longest, to.size());
      read_bytes += to.size();
      return true;
    }
    [[nodiscard]] bool write(uint64_t, std::span<const uint8_t>) override { return false; }
    [[nodiscard]] bool flush() override { return true; }
    size_t longest = 0, read_bytes = 0;
  };
  PortBus ports;
  MemoryBus bus;
  PciBuses buses{ports, bus, {}};
  VectorMemory memory(0x1000);
  RecordingLine line;
  Endless disc;
  ManualClock clock;
  IdeController ide(buses, clock, memory, line, line);
  ide.add_cdrom(0, &disc);
  PortDevice& command = ide.channel(0).command_ports();
  const uint8_t packet[12] = {0xa8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0};
  out8(command, 4, 0xfe);
  out8(command, 5, 0xff);
  out8(command, 7, 0xa0);
  for (unsigned i = 0; i < 12; i += 2) {
    command.write(0, AccessWidth::Word, uint32_t{packet[i]} | uint32_t{packet[i + 1]} << 8);
  }
  EXPECT_LE(disc.read_bytes, size_t{16} * 2048);
  for (int i = 0; i < 16 * 2048 / 4; ++i) (void)command.read(0, AccessWidth::Dword);
  EXPECT_LE(disc.read_bytes, size_t{32} * 2048);
  EXPECT_LE(disc.longest, size_t{16} * 2048);
}

TEST(Bounds, FloppyTakesNineBytesAndAnswersTen) {
  RecordingLine line;
  DmaControllers dma;
  VectorMemory memory(0x1000);
  ManualClock clock;
  FloppyController floppy(clock, line, dma, memory, nullptr);
  PortDevice& ports = floppy.ports();
  out8(ports, 2, 0x0c);
  std::minstd_rand random(3);
  size_t given = 0;
  for (int i = 0; i < kMany; ++i) {
    out8(ports, 5, static_cast<uint8_t>(random()));
    if ((in8(ports, 4) & 0xc0) != 0xc0) {
      ASSERT_LE(++given, 9U);  // it has all of a command by then
      if ((in8(ports, 4) & 0x10) == 0) given = 0;
      continue;
    }
    size_t answered = 0;
    for (; (in8(ports, 4) & 0xc0) == 0xc0; ++answered) (void)in8(ports, 5);
    ASSERT_LE(answered, 10U);
    given = 0;
  }
}

TEST(Bounds, WhatTheScreenSaysIsAsLongAsTheScreen) {
  VgaText vga;
  for (uint64_t i = 0; i < 0x8000; ++i) {
    vga.write(0x18000 + i, AccessWidth::Byte, 0xb0);  // three bytes each as text
  }
  EXPECT_LE(vga.dump_text().size(), size_t{25} * (80 * 3 + 1));
}

// A claim a range: a guest that moves them about leaves nothing behind.
TEST(Bounds, ClaimsAreAsManyAsTheRanges) {
  PortBus ports;
  MemoryBus memory;
  PciBuses buses{ports, memory, {}};
  VectorMemory ram(0x1000);
  BochsDisplay display(buses, {0x55, 0xaa});
  for (uint32_t i = 1; i < 5000; ++i) {
    display.function().write_config(0x04, AccessWidth::Word, i % 3);
    display.function().write_config(0x10, AccessWidth::Dword, i << 24);
    display.function().write_config(0x30, AccessWidth::Dword, i << 16 | 1);
    size_t pieces = 0;
    memory.for_each_range([&](GuestPhysical, uint64_t, const std::string&) { ++pieces; });
    ASSERT_LE(pieces, 3U);
  }
}

}  // namespace
}  // namespace ringshift

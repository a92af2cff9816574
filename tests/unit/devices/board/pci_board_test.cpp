#include "devices/board/pci_board.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr uint64_t kRam = uint64_t{4} << 20;

class RamAccess final : public DmaMemory {
 public:
  explicit RamAccess(GuestMemory& ram) : ram_(ram) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    if (!ram_.contains(GuestPhysical(address), to.size())) return;
    std::copy_n(ram_.at(GuestPhysical(address)), to.size(), to.begin());
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    if (!ram_.contains(GuestPhysical(address), from.size())) return;
    std::copy(from.begin(), from.end(), ram_.at(GuestPhysical(address)));
  }

 private:
  GuestMemory& ram_;
};

// A board with an image whose every byte says which 4 KiB page of it this is.
class PciBoardTest : public ::testing::Test {
 protected:
  static std::vector<uint8_t> image() {
    std::vector<uint8_t> bytes(0x40000);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i >> 12);
    return bytes;
  }
  PciBoardConfig config() {
    PciBoardConfig config;
    config.firmware = image();
    config.video_rom = {0x55, 0xaa};
    config.firmware_log = &log_;
    config.on_memory_map_changed = [this] { ++map_changes_; };
    config.on_power_off = [this] { ++power_offs_; };
    config.on_reset = [this] { ++resets_; };
    return config;
  }
  uint32_t config32(unsigned slot, unsigned function, unsigned offset) {
    return read_config(ports_, slot, function, offset, AccessWidth::Dword);
  }
  void set_config32(unsigned slot, unsigned function, unsigned offset, uint32_t value) {
    write_config(ports_, slot, function, offset, AccessWidth::Dword, value);
  }
  uint32_t memory8(uint64_t address) {
    return memory_.claims(GuestPhysical(address))
               ? memory_.read(GuestPhysical(address), AccessWidth::Byte)
               : *ram_->at(GuestPhysical(address));
  }
  // Both interrupt controllers at vectors 0x20 and 0x28, everything enabled.
  void out_pic_open() {
    for (const uint16_t base : {uint16_t{0x20}, uint16_t{0xa0}}) {
      const auto data = static_cast<uint16_t>(base + 1);
      ports_.write(base, AccessWidth::Byte, 0x11);
      ports_.write(data, AccessWidth::Byte, base == 0x20 ? 0x20 : 0x28);
      ports_.write(data, AccessWidth::Byte, base == 0x20 ? 0x04 : 0x02);
      ports_.write(data, AccessWidth::Byte, 0x01);
      ports_.write(data, AccessWidth::Byte, 0x00);
    }
  }

  std::string error_;
  std::unique_ptr<GuestMemory> ram_ = GuestMemory::create(kRam, &error_);
  RamAccess dma_{*ram_};
  ManualClock clock_;
  PortBus ports_;
  MemoryBus memory_;
  RecordingBackend log_;
  int map_changes_ = 0, power_offs_ = 0, resets_ = 0;
  PcBoard at_{clock_, ports_, memory_, PcBoardConfig()};
  BoardSurroundings on_{clock_, ports_, memory_, *ram_, dma_};
  PciBoard board_{on_, at_, config()};
};

TEST_F(PciBoardTest, FunctionsAreWhereFirmwareForThisChipSetLooks) {
  EXPECT_EQ(config32(0, 0, 0), 0x12378086U);
  EXPECT_EQ(config32(0, 0, 0x2c), 0x11001af4U);
  EXPECT_EQ(config32(1, 0, 0), 0x70008086U);
  EXPECT_EQ(config32(1, 3, 0), 0x71138086U);
  EXPECT_EQ(config32(2, 0, 0), 0x11111234U);
  EXPECT_EQ(config32(5, 0, 0), 0xffffffffU);
}

TEST_F(PciBoardTest, WithoutTheEnableBitNothingIsSelected) {
  ports_.write(0xcf8, AccessWidth::Dword, 0);
  EXPECT_EQ(ports_.read(0xcfc, AccessWidth::Dword), 0xffffffffU);
}

TEST_F(PciBoardTest, ImageIsSeenAtTheTopAndBelowOneMegabyte) {
  EXPECT_EQ(memory_.read(GuestPhysical(0xfffffff0), AccessWidth::Byte), 0x3fU);
  EXPECT_EQ(memory_.read(GuestPhysical(0xfffc0000), AccessWidth::Byte), 0x00U);
  EXPECT_EQ(memory_.read(GuestPhysical(0xffff0), AccessWidth::Byte), 0x3fU);
  EXPECT_EQ(memory_.read(GuestPhysical(0xe0000), AccessWidth::Byte), 0x20U);
  EXPECT_EQ(memory_.read(GuestPhysical(0xc0000), AccessWidth::Byte), 0xffU);
}

TEST_F(PciBoardTest, ShadowRamIsWrittenUnderTheImageAndThenReadInItsPlace) {
  // PAM0, 0xf0000: writes to RAM first, as firmware copies itself; then reads too; then read-only.
  write_config(ports_, 0, 0, 0x59, AccessWidth::Byte, 0x20);
  memory_.write(GuestPhysical(0xf0000), AccessWidth::Dword, 0x12345678);
  EXPECT_EQ(memory8(0xf0000), 0x30U);
  write_config(ports_, 0, 0, 0x59, AccessWidth::Byte, 0x30);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xf0000)));
  EXPECT_EQ(memory8(0xf0000), 0x78U);
  write_config(ports_, 0, 0, 0x59, AccessWidth::Byte, 0x10);
  memory_.write(GuestPhysical(0xf0000), AccessWidth::Byte, 0xee);
  EXPECT_EQ(memory8(0xf0000), 0x78U);
  EXPECT_EQ(map_changes_, 3);
}

TEST_F(PciBoardTest, EachHalfOfAPamRegisterIsOneSegment) {
  write_config(ports_, 0, 0, 0x5a, AccessWidth::Byte, 0x30);  // PAM1: 0xc4000 on, 0xc0000 off
  EXPECT_TRUE(memory_.claims(GuestPhysical(0xc0000)));
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xc4000)));
  write_config(ports_, 0, 0, 0x5f, AccessWidth::Byte, 0x03);  // PAM6: 0xe8000
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xe8000)));
  EXPECT_TRUE(memory_.claims(GuestPhysical(0xec000)));
}

TEST_F(PciBoardTest, MemoryRangeTellsItsSizeMovesAndGoes) {
  set_config32(2, 0, 0x10, 0xffffffff);
  EXPECT_EQ(config32(2, 0, 0x10), 0xff000000U);
  set_config32(2, 0, 0x10, 0xfd000000);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xfd000000)));  // not decoded yet
  set_config32(2, 0, 0x04, 0x2);
  memory_.write(GuestPhysical(0xfd000010), AccessWidth::Dword, 0xcafef00d);
  set_config32(2, 0, 0x10, 0xe0000000);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xfd000000)));
  EXPECT_EQ(memory_.read(GuestPhysical(0xe0000010), AccessWidth::Dword), 0xcafef00dU);
  ASSERT_NE(memory_.readable_page(GuestPhysical(0xe0000000)), nullptr);
  EXPECT_EQ(memory_.readable_page(GuestPhysical(0xe0000000))[0x10], 0x0d);
  set_config32(2, 0, 0x04, 0);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xe0000000)));
}

TEST_F(PciBoardTest, WhereARangeIsOverTheBoardTheBoardAnswers) {
  set_config32(2, 0, 0x04, 0x2);
  set_config32(2, 0, 0x10, 0xff000000);  // the firmware is at its end
  memory_.write(GuestPhysical(0xff000000), AccessWidth::Byte, 0x77);
  EXPECT_EQ(memory_.read(GuestPhysical(0xff000000), AccessWidth::Byte), 0x77U);
  EXPECT_EQ(memory_.read(GuestPhysical(0xfffffff0), AccessWidth::Byte), 0x3fU);
}

TEST_F(PciBoardTest, ExpansionRomHasItsOwnEnableBitAndCannotBeWritten) {
  set_config32(2, 0, 0x04, 0x2);
  set_config32(2, 0, 0x30, 0xfe000000);
  EXPECT_FALSE(memory_.claims(GuestPhysical(0xfe000000)));
  set_config32(2, 0, 0x30, 0xfe000001);
  memory_.write(GuestPhysical(0xfe000000), AccessWidth::Word, 0);
  EXPECT_EQ(memory_.read(GuestPhysical(0xfe000000), AccessWidth::Word), 0xaa55U);
  EXPECT_EQ(memory_.writable_page(GuestPhysical(0xfe000000)), nullptr);
}

TEST_F(PciBoardTest, PowerManagementTimerRunsAt3579545Hertz) {
  set_config32(1, 3, 0x40, 0xb001);
  EXPECT_EQ(ports_.read(0xb008, AccessWidth::Dword), 0xffffffffU);
  write_config(ports_, 1, 3, 0x80, AccessWidth::Byte, 1);
  clock_.advance(1'000'000'000);
  EXPECT_EQ(ports_.read(0xb008, AccessWidth::Dword), 3'579'545U);
}

TEST_F(PciBoardTest, TimerCarryReachesLineNineOnceAcpiIsOn) {
  set_config32(1, 3, 0x40, 0xb001);
  write_config(ports_, 1, 3, 0x80, AccessWidth::Byte, 1);
  ports_.write(0xb002, AccessWidth::Word, 0x0001);
  EXPECT_EQ(ports_.read(0xb004, AccessWidth::Word), 0U);
  ports_.write(0xb2, AccessWidth::Byte, 0xf1);
  EXPECT_EQ(ports_.read(0xb004, AccessWidth::Word), 1U);
  out_pic_open();
  clock_.advance(2'400'000'000);  // the top bit of 24 changes every 2.34 s
  EXPECT_EQ(ports_.read(0xb000, AccessWidth::Word) & 1U, 1U);
  ASSERT_TRUE(at_.interrupts().pending());
  EXPECT_EQ(at_.interrupts().acknowledge(), 0x29);
}

TEST_F(PciBoardTest, ThePowerButtonIsAStatusBitAndAnInterrupt) {
  set_config32(1, 3, 0x40, 0xb001);
  write_config(ports_, 1, 3, 0x80, AccessWidth::Byte, 1);
  ports_.write(0xb2, AccessWidth::Byte, 0xf1);
  ports_.write(0xb002, AccessWidth::Word, 0x0100);
  out_pic_open();
  board_.press_power_button();
  EXPECT_EQ(ports_.read(0xb000, AccessWidth::Word) & 0x100U, 0x100U);
  ASSERT_TRUE(at_.interrupts().pending());
  EXPECT_EQ(at_.interrupts().acknowledge(), 0x29);
  ports_.write(0xb000, AccessWidth::Word, 0x0100);
  EXPECT_EQ(ports_.read(0xb000, AccessWidth::Word) & 0x100U, 0U);
  EXPECT_EQ(power_offs_, 0);  // that is the guest's to do
}

TEST_F(PciBoardTest, SleepTypeZeroIsPowerOff) {
  set_config32(1, 3, 0x40, 0xb001);
  write_config(ports_, 1, 3, 0x80, AccessWidth::Byte, 1);
  ports_.write(0xb004, AccessWidth::Word, 0x2000);
  EXPECT_EQ(power_offs_, 1);
}

TEST_F(PciBoardTest, ResetControlRegisterResetsOnARisingBit) {
  ports_.write(0xcf9, AccessWidth::Byte, 0x02);
  EXPECT_EQ(resets_, 0);
  ports_.write(0xcf9, AccessWidth::Byte, 0x06);
  ports_.write(0xcf9, AccessWidth::Byte, 0x06);
  EXPECT_EQ(resets_, 1);
}

TEST_F(PciBoardTest, WiresFollowTheirRouteAndShareALine) {
  out_pic_open();
  write_config(ports_, 1, 0, 0x60, AccessWidth::Word, 0x0b0b);  // PIRQA#, PIRQB# to 11
  ports_.write(0x4d1, AccessWidth::Byte, 0x08);
  InterruptLine& first = board_.host().wire(1, 1);
  InterruptLine& second = board_.host().wire(2, 1);
  first.set_level(true);
  second.set_level(true);
  first.set_level(false);
  ASSERT_TRUE(at_.interrupts().pending());
  EXPECT_EQ(at_.interrupts().acknowledge(), 0x2b);
  second.set_level(false);
  ports_.write(0xa0, AccessWidth::Byte, 0x20);
  ports_.write(0x20, AccessWidth::Byte, 0x20);
  EXPECT_FALSE(at_.interrupts().pending());
  write_config(ports_, 1, 0, 0x60, AccessWidth::Byte, 0x80);
  first.set_level(true);
  EXPECT_FALSE(at_.interrupts().pending());
}

TEST_F(PciBoardTest, FirmwareLogIsWhatPort402Gets) {
  EXPECT_EQ(ports_.read(0x402, AccessWidth::Byte), 0xe9U);
  ports_.write(0x402, AccessWidth::Byte, 'x');
  EXPECT_EQ(log_.text, "x");
}

TEST_F(PciBoardTest, SurvivesRandomConfigurationTraffic) {
  std::minstd_rand random(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto width = static_cast<AccessWidth>(1U << random() % 3);
    const auto port = static_cast<uint16_t>(0xcf8 + random() % 8);
    if (random() % 4 != 0) {
      ports_.write(0xcf8, AccessWidth::Dword,
                   config_address(random() % 4, random() % 4, random() % 256));
    }
    ports_.write(port, width, static_cast<uint32_t>(random()));
    (void)ports_.read(port, width);
    (void)ports_.read(static_cast<uint16_t>(random() % 0x10000), width);
    (void)memory_.read(GuestPhysical(random() * 4U), AccessWidth::Dword);
  }
  EXPECT_EQ(config32(0, 0, 0), 0x12378086U);
}

}  // namespace
}  // namespace ringshift

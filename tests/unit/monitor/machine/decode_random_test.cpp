// Everything that a guest can move about in the address spaces, moved in any order: the device that
// answers at an address is the one that a plain model of the present places names. RINGSHIFT_SEED
// replays a failure.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

#include "devices/board/apic_board.h"
#include "devices/board/pc_board.h"
#include "devices/board/pci_board.h"
#include "devices/chips/test_device.h"
#include "monitor/memory/physical_memory.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr uint64_t kRam = uint64_t{8} << 20;
constexpr uint64_t kImage = 0x40000;
constexpr uint64_t kFrameBufferBytes = uint64_t{16} << 20, kRomBytes = 0x10000;

// The registers that say where things are, as the guest has last written them.
struct Placement {
  uint8_t pam[7] = {};
  bool display_memory = false;
  uint32_t frame_buffer = 0;
  uint32_t rom = 0;
  bool rom_enabled = false;
  bool ide_ports = false;
  uint32_t bus_master = 0;
  bool power_enabled = false;
  uint32_t power = 0;
  bool a20 = true;
};

bool inside(uint64_t address, uint64_t first, uint64_t bytes) {
  return address >= first && address - first < bytes;
}

class DecodeRandomTest : public ::testing::Test {
 protected:
  DecodeRandomTest() {
    const char* seed = std::getenv("RINGSHIFT_SEED");
    seed_ = seed != nullptr ? std::strtoull(seed, nullptr, 0) : 20261129;
    random_.seed(seed_);
    std::string error;
    ram_ = GuestMemory::create(kRam, &error);
    EXPECT_NE(ram_, nullptr) << error;
    physical_ = std::make_unique<PhysicalMemory>(*ram_, memory_);
    PcBoardConfig board;
    board.on_a20 = [this](bool enabled) { physical_->set_a20(enabled); };
    board_ = std::make_unique<PcBoard>(clock_, ports_, memory_, board);
    apic_ = std::make_unique<ApicBoard>(clock_, memory_, board_->interrupts(), true);
    PciBoardConfig pci;
    pci.firmware.assign(kImage, 0x42);
    pci.video_rom = {0x55, 0xaa};
    const BoardSurroundings on{clock_, ports_, memory_, *ram_, *physical_};
    pci_ = std::make_unique<PciBoard>(on, *board_, std::move(pci));
    EXPECT_TRUE(test_device_.attach(ports_, memory_));
  }

  uint32_t pick(std::initializer_list<uint32_t> values) {
    return *(values.begin() + random_() % values.size());
  }
  void set(unsigned slot, unsigned function, unsigned offset, AccessWidth width, uint32_t value) {
    write_config(ports_, slot, function, offset, width, value);
  }

  // Half of the places are near what else is there, the others anywhere.
  uint32_t memory_place() {
    const auto anywhere = static_cast<uint32_t>(random_());
    if (random_() % 2 == 0) return anywhere;
    return pick({0, 0xa0000, 0xb0000, 0xc0000, 0xd0000, 0xe0000, 0xf0000, 0x100000, 0x800000,
                 0xfe000000, 0xfec00000, 0xfee00000, 0xff000000, 0xffff0000, 0xfd000000}) +
           static_cast<uint32_t>(random_() % 3) * 0x8000 + anywhere % 16;
  }
  uint32_t port_place() {
    const auto anywhere = static_cast<uint32_t>(random_() & 0xffff);
    if (random_() % 2 == 0) return anywhere;
    return pick({0, 0x20, 0x60, 0xe0, 0xf0, 0x170, 0x1f0, 0x2000, 0x3b0, 0x3f0, 0x510, 0xaf80,
                 0xb000, 0xcf0, 0xffc0, 0xfff0}) +
           anywhere % 32;
  }

  void move_something() {
    switch (random_() % 9) {
      case 0: {
        const auto i = static_cast<unsigned>(random_() % 7);
        const uint32_t value =
            pick({0x00, 0x11, 0x22, 0x33, 0x30, 0x03, 0x13}) & (i == 0 ? 0x30U : 0x33U);
        at_.pam[i] = static_cast<uint8_t>(value);
        set(0, 0, 0x59 + i, AccessWidth::Byte, value);
        break;
      }
      case 1:
        at_.display_memory = random_() % 4 != 0;
        set(2, 0, 0x04, AccessWidth::Word, at_.display_memory ? 2 : 0);
        break;
      case 2:
        at_.frame_buffer = memory_place() & 0xff000000;
        set(2, 0, 0x10, AccessWidth::Dword, at_.frame_buffer);
        break;
      case 3:
        at_.rom = memory_place() & 0xffff0000;
        at_.rom_enabled = random_() % 4 != 0;
        set(2, 0, 0x30, AccessWidth::Dword, at_.rom | (at_.rom_enabled ? 1 : 0));
        break;
      case 4:
        at_.ide_ports = random_() % 4 != 0;
        set(1, 1, 0x04, AccessWidth::Word, at_.ide_ports ? 1 : 0);
        break;
      case 5:
        at_.bus_master = port_place() & 0xfff0;
        set(1, 1, 0x20, AccessWidth::Dword, at_.bus_master);
        break;
      case 6:
        at_.power = port_place() & 0xffc0;
        set(1, 3, 0x40, AccessWidth::Dword, at_.power | 1);
        break;
      case 7:
        at_.power_enabled = random_() % 4 != 0;
        set(1, 3, 0x80, AccessWidth::Byte, at_.power_enabled ? 1 : 0);
        break;
      default:
        at_.a20 = random_() % 2 == 0;
        ports_.write(0x92, AccessWidth::Byte, at_.a20 ? 2 : 0);
        break;
    }
  }

  // PAM0's high half is 0xf0000, of 64 KiB; the others are halves of 16 KiB from 0xc0000 on.
  [[nodiscard]] unsigned pam_bits(uint64_t address) const {
    if (address >= 0xf0000) return at_.pam[0] >> 4 & 3U;
    const unsigned segment = static_cast<unsigned>((address - 0xc0000) / 0x4000);
    return at_.pam[1 + segment / 2] >> (segment % 2 * 4) & 3U;
  }
  // "ram", "" for nobody, or the range's name. In the order of docs/devices.md.
  [[nodiscard]] std::string expected_at(uint64_t address) const {
    if (inside(address, 0xff000000, 0x10000)) return "test memory";
    if (inside(address, 0xa0000, 0x20000)) return "vga memory";
    if (inside(address, 0xc0000, 0x40000) && pam_bits(address) != 3) return "shadow RAM";
    if (inside(address, 0xfec00000, 0x1000)) return "io apic";
    if (inside(address, 0xfed00000, kHpetBytes)) return "hpet";
    if (inside(address, 0xfee00000, 0x1000)) return "local apic";
    if (inside(address, (uint64_t{1} << 32) - kImage, kImage)) return "firmware";
    if (address < kRam) return "ram";
    const bool frame_buffer = at_.display_memory && at_.frame_buffer != 0;
    if (frame_buffer && inside(address, at_.frame_buffer, kFrameBufferBytes)) return "display";
    const bool rom = at_.display_memory && at_.rom_enabled && at_.rom != 0;
    if (rom && inside(address, at_.rom, kRomBytes)) return "display";
    return "";
  }
  [[nodiscard]] std::string expected_port(uint32_t port) const {
    for (const auto& [first, range] : fixed_ports_) {
      if (inside(port, first, range.first)) return range.second;
    }
    if (at_.ide_ports && at_.bus_master != 0 && inside(port, at_.bus_master, 16)) return "ide";
    if (at_.power_enabled && at_.power != 0 && inside(port, at_.power, 64)) {
      return "power management";
    }
    return "";
  }

  std::map<uint32_t, std::pair<uint32_t, std::string>> ports_now() {
    std::map<uint32_t, std::pair<uint32_t, std::string>> all;
    ports_.for_each_range([&](uint16_t first, uint32_t count, const std::string& name) {
      all[first] = {count, name};
    });
    return all;
  }
  static std::string owner(const std::map<uint32_t, std::pair<uint32_t, std::string>>& ranges,
                           uint32_t port) {
    auto after = ranges.upper_bound(port);
    if (after == ranges.begin()) return "";
    const auto& [first, range] = *std::prev(after);
    return inside(port, first, range.first) ? range.second : "";
  }

  void check_memory() {
    std::map<uint64_t, std::pair<uint64_t, std::string>> ranges;
    memory_.for_each_range([&](GuestPhysical first, uint64_t bytes, const std::string& name) {
      ranges[first.value()] = {bytes, name};
    });
    for (int i = 0; i < 24; ++i) {
      const uint64_t address = (memory_place() & ~uint64_t{0xfff}) + random_() % kPageSize;
      const std::string expected = expected_at(address);
      std::string found;
      if (auto after = ranges.upper_bound(address); after != ranges.begin()) {
        const auto& [first, range] = *std::prev(after);
        if (inside(address, first, range.first)) found = range.second;
      }
      EXPECT_EQ(found, expected == "ram" ? "" : expected) << std::hex << address;
      // As the processor reaches it, behind the A20 gate.
      const uint64_t reached = at_.a20 ? address : address & ~(uint64_t{1} << 20);
      const GuestPhysicalPage page = GuestPhysicalPage::of(GuestPhysical(address));
      EXPECT_EQ(physical_->is_ram(page), expected_at(reached) == "ram") << std::hex << address;
      const bool nobody = expected_at(reached).empty();
      EXPECT_TRUE(!nobody || physical_->readable_page(page) == nullptr) << std::hex << address;
      uint32_t value = 0;
      physical_->read(GuestPhysical(address), &value, sizeof value);
      // Devices that act on a write are no business of this test.
      const bool acts = expected.find("apic") != std::string::npos || expected == "hpet";
      if (!acts) physical_->write(GuestPhysical(address), &value, sizeof value);
    }
  }
  void check_ports() {
    const auto ranges = ports_now();
    for (int i = 0; i < 24; ++i) {
      const uint32_t port = port_place() & 0xffff;
      EXPECT_EQ(owner(ranges, port), expected_port(port)) << std::hex << port;
      const bool harmless = owner(ranges, port).empty() || owner(ranges, port) == "ide";
      if (harmless) (void)ports_.read(static_cast<uint16_t>(port), AccessWidth::Dword);
    }
  }

  uint64_t seed_ = 0;
  std::mt19937_64 random_;
  Placement at_;
  std::unique_ptr<GuestMemory> ram_;
  ManualClock clock_;
  PortBus ports_;
  MemoryBus memory_;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<PcBoard> board_;
  std::unique_ptr<ApicBoard> apic_;
  std::unique_ptr<PciBoard> pci_;
  TestDevice test_device_{[](unsigned, bool) {}, [] {}};
  std::map<uint32_t, std::pair<uint32_t, std::string>> fixed_ports_;
};

TEST_F(DecodeRandomTest, TheOwnerIsWhatThePlacesSayWhateverTheOrderOfMoves) {
  fixed_ports_ = ports_now();
  for (int round = 0; round < 4000 && !HasFailure(); ++round) {
    SCOPED_TRACE("RINGSHIFT_SEED=" + std::to_string(seed_) + " round " + std::to_string(round));
    for (unsigned i = 0; i < 1 + random_() % 4; ++i) move_something();
    check_memory();
    check_ports();
  }
}

// Nothing stays behind: with all of it turned off the spaces are as they were.
TEST_F(DecodeRandomTest, WhatIsTurnedOffIsGone) {
  fixed_ports_ = ports_now();
  for (int i = 0; i < 2000; ++i) move_something();
  set(2, 0, 0x04, AccessWidth::Word, 0);
  set(1, 1, 0x04, AccessWidth::Word, 0);
  set(1, 3, 0x80, AccessWidth::Byte, 0);
  EXPECT_EQ(ports_now(), fixed_ports_);
  memory_.for_each_range(
      [](GuestPhysical, uint64_t, const std::string& name) { EXPECT_NE(name, "display"); });
}

}  // namespace
}  // namespace ringshift

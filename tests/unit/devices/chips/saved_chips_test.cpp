// Serial port, DMA controllers, firmware configuration, gates and test device, saved and loaded in
// the middle of random traffic.
#include <gtest/gtest.h>

#include "devices/chips/a20_gate.h"
#include "devices/chips/debug_ports.h"
#include "devices/chips/dma8237.h"
#include "devices/chips/fw_cfg.h"
#include "devices/chips/port92.h"
#include "devices/chips/test_device.h"
#include "devices/chips/uart16550.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

struct UartWorld {
  struct Outside {
    WireState wire;
    std::string sent;
    int room = 0;
    bool operator==(const Outside&) const = default;
  };
  struct Backend final : SerialBackend {
    explicit Backend(std::string& to) : sent(to) {}
    void transmit(uint8_t byte) override { sent += static_cast<char>(byte); }
    std::string& sent;
  };
  UartWorld() {
    uart.set_on_room([this] { ++outside.room; });
  }
  void visit_state(StateArchive& archive) { archive.part("uart", uart); }
  uint64_t act(Random& random) {
    uint64_t answer = 0;
    switch (random.below(10)) {
      case 0:
        out8(uart, random.below(8), random.byte());
        break;
      case 1:
        out8(uart, 2, random.byte() | 1);
        break;
      case 2:  // out of the loop, and of the divisor
        out8(uart, 4, random.byte() & (random.one_in(4) ? 0x1f : 0x0f));
        out8(uart, 3, 0x80);
        out8(uart, 0, random.byte());
        out8(uart, 1, 0);
        out8(uart, 3, random.byte() & 0x7f);
        for (uint32_t left = random.below(20); left != 0; --left) out8(uart, 0, random.byte());
        break;
      case 3: {
        const std::vector<uint8_t> bytes(random.below(20), random.byte());
        answer = uart.receive(bytes);
        break;
      }
      case 4:
        clock.advance(random.below(random.one_in(2) ? 2'000'000'000 : 100'000));
        break;
      case 5:
        out8(uart, 1, random.byte() & 0x0f);
        return in8(uart, 2);
      case 6:
      case 7:  // waiting for a byte, as polling drivers do
        for (uint32_t left = random.below(8); left != 0; --left) answer = in8(uart, 5);
        break;
      default:
        answer = in8(uart, random.below(8));
        break;
    }
    return answer | (outside.wire.level ? 0x100U : 0) | (uart.is_listening() ? 0x200U : 0) |
           static_cast<uint64_t>(outside.wire.rising_edges) << 32;
  }
  ManualClock clock;
  Outside outside;
  OutsideLine line{outside.wire};
  Backend backend{outside.sent};
  Uart16550 uart{clock, line, &backend};
};

TEST(SavedChips, TheSerialPortGoesOn) {
  const SavedTwins<UartWorld> twins(300, 300);
  twins.expect_that_they_agree();
}

TEST(SavedChips, EachFieldOfTheSerialPortShows) {
  const SavedTwins<UartWorld> twins(1200, 200);
  twins.expect_that_each_field_shows({});
}

// RAM, as a value.
struct Ram final : DmaMemory {
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    for (size_t i = 0; i < to.size(); ++i) to[i] = bytes[(address + i) % bytes.size()];
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    for (size_t i = 0; i < std::min(from.size(), bytes.size()); ++i) {
      bytes[(address + i) % bytes.size()] = from[i];
    }
  }
  [[nodiscard]] uint64_t sum() const {
    uint64_t sum = 0;
    for (const uint8_t byte : bytes) sum = sum * 31 + byte;
    return sum;
  }
  bool operator==(const Ram& other) const { return bytes == other.bytes; }
  std::vector<uint8_t> bytes = std::vector<uint8_t>(1021);
};

struct DmaWorld {
  void visit_state(StateArchive& archive) { archive.part("dma", dma); }
  uint64_t act(Random& random) {
    const bool is_second = random.one_in(3);
    PortDevice& chip = is_second ? dma.second_ports() : dma.first_ports();
    const unsigned step = is_second ? 2 : 1;
    switch (random.below(8)) {
      case 0:
        out8(chip, step * random.below(16), random.byte());
        break;
      case 1:
      case 2:
        out8(chip, step * random.below(8), random.byte());
        break;
      case 3:
        out8(chip, step * 11, random.below(4) | (1 + random.below(2)) << 2 | random.below(2) << 4);
        out8(chip, step * (random.one_in(3) ? 15 : 14), 0);
        if (random.one_in(2)) out8(chip, step * 8, 0);
        break;
      case 4:
        out8(dma.page_ports(), random.below(15), random.byte());
        break;
      case 5:
        return transfer(random);
      default:
        break;
    }
    const uint64_t page = in8(dma.page_ports(), random.below(15));
    return in8(chip, step * random.below(16)) | page << 8;
  }
  uint64_t transfer(Random& random) {
    std::vector<uint8_t> bytes(random.below(300), random.byte());
    bool ended = false;
    const unsigned channel = random.below(4);
    const uint32_t moved = random.one_in(2) ? dma.to_memory(channel, outside, bytes, &ended)
                                            : dma.from_memory(channel, outside, bytes, &ended);
    uint64_t sum = moved | (ended ? 0x10000U : 0);
    for (const uint8_t byte : bytes) sum = sum * 31 + byte;
    return sum ^ outside.sum();
  }
  ManualClock clock;
  Ram outside;
  DmaControllers dma;
};

TEST(SavedChips, TheDmaControllersGoOn) {
  const SavedTwins<DmaWorld> twins(200, 300);
  twins.expect_that_they_agree();
}

// No device is on the second controller: nobody asks it to move anything.
TEST(SavedChips, EachFieldOfTheDmaControllersShows) {
  const SavedTwins<DmaWorld> twins(1000, 200);
  twins.expect_that_each_field_shows(
      {"dma/second/command", "dma/second/terminal counts", "dma/second/channel N/base address",
       "dma/second/channel N/base count", "dma/second/channel N/mode"});
}

// RAM of which only the beginning is kept; of all else, what was written where.
struct LoggedRam final : DmaMemory {
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    for (size_t i = 0; i < to.size(); ++i)
      to[i] = address + i < bytes.size() ? bytes[address + i] : 0;
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    for (size_t i = 0; i < from.size() && address + i < bytes.size(); ++i)
      bytes[address + i] = from[i];
    for (const uint64_t fact :
         {address, uint64_t{from.size()}, uint64_t{from.front()}, uint64_t{from.back()}}) {
      writes = (writes ^ fact) * 0x100000001b3ULL;
    }
  }
  bool operator==(const LoggedRam& other) const {
    return bytes == other.bytes && writes == other.writes;
  }
  std::vector<uint8_t> bytes = std::vector<uint8_t>(1000);
  uint64_t writes = 0;
};

struct FwCfgWorld {
  FwCfgWorld() {
    for (unsigned i = 0; i < 4; ++i) {
      std::vector<uint8_t> bytes(3000);
      for (size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<uint8_t>(at * 7 + i);
      fw_cfg.add_file("file" + std::to_string(i), std::move(bytes));
    }
  }
  void visit_state(StateArchive& archive) { archive.part("fw cfg", fw_cfg); }
  uint64_t act(Random& random) {
    switch (random.below(8)) {
      case 0:
        fw_cfg.ports().write(0, AccessWidth::Word,
                             random.one_in(3) ? random.below(0x30) : 0x20 + random.below(4));
        break;
      case 1:
      case 2:
        return fw_cfg.ports().read(1, AccessWidth::Byte);
      case 3:
        ask(random);
        break;
      case 4:
        clock.advance(random.below(3));
        break;
      case 5:
        out8(fw_cfg.dma_ports(), random.below(7), random.byte());
        break;
      default:
        break;
    }
    return outside.writes;
  }
  // Now and then of several megabytes, which takes more than one step.
  void ask(Random& random) {
    const uint32_t control = random.byte() & 0x0f;
    const uint32_t length = random.one_in(3) ? random.below(4U << 20) : random.below(2000);
    const uint32_t words[] = {control | (0x20 + random.below(4)) << 16, length, 0,
                              random.below(900)};
    uint8_t request[16];
    for (unsigned i = 0; i < 16; ++i)
      request[i] = static_cast<uint8_t>(words[i / 4] >> (24 - 8 * (i % 4)));
    const uint32_t at = random.below(900);
    outside.write_ram(at, request);
    if (random.one_in(2)) fw_cfg.dma_ports().write(0, AccessWidth::Dword, 0);
    fw_cfg.dma_ports().write(4, AccessWidth::Dword, __builtin_bswap32(at));
  }
  ManualClock clock;
  LoggedRam outside;
  FwCfg fw_cfg{clock, outside};
};

TEST(SavedChips, TheFirmwareConfigurationGoesOn) {
  const SavedTwins<FwCfgWorld> twins(60, 100);
  twins.expect_that_they_agree();
}

TEST(SavedChips, EachFieldOfTheFirmwareConfigurationShows) {
  const SavedTwins<FwCfgWorld> twins(60, 60);
  twins.expect_that_each_field_shows({});
}

TEST(SavedChips, OtherItemsOfTheFirmwareConfigurationAreRefused) {
  FwCfgWorld one, other;
  other.fw_cfg.add_file("more", {1});
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(StateArchive::save([&](StateArchive& a) { one.visit_state(a); }, &saved, &error));
  EXPECT_FALSE(StateArchive::load(
      saved, [&](StateArchive& a) { other.visit_state(a); }, &error));
  EXPECT_EQ(error.find("saved state: fw cfg/hash of items: it was "), 0U) << error;
}

struct SmallWorld {
  struct Outside {
    bool a20 = true;
    int resets = 0;
    std::array<bool, TestDevice::kLines> lines{};
    bool operator==(const Outside&) const = default;
  };
  SmallWorld() { EXPECT_TRUE(test_device.attach(bus, memory)); }
  void visit_state(StateArchive& archive) {
    archive.part("a20", a20);
    archive.part("port 92", port_92);
    archive.part("debug", debug);
    archive.part("test device", test_device);
  }
  uint64_t act(Random& random) {
    const GuestPhysical at(0xff000000 + random.below(64) * 1021);
    switch (random.below(8)) {
      case 0:
        out8(port_92, 0, random.byte());
        break;
      case 1:
        out8(debug.post_port(), 0, random.byte());
        break;
      case 2:
        bus.write(static_cast<uint16_t>(0xe0 + random.below(12)), AccessWidth::Byte, random.byte());
        break;
      case 3:
        bus.write(static_cast<uint16_t>(0x2000 + random.below(24)), AccessWidth::Byte,
                  random.below(2));
        break;
      case 4:
        memory.write(at, AccessWidth::Dword, random.word());
        break;
      case 5:
        a20.set(random.one_in(2));
        break;
      default:
        break;
    }
    const uint64_t post = in8(debug.post_port(), 0);
    const uint64_t ports = in8(port_92, 0) | post << 8;
    const uint32_t value = bus.read(0xe0, AccessWidth::Dword);
    return ports ^ uint64_t { value } << 32 ^ memory.read(at, AccessWidth::Dword);
  }
  ManualClock clock;
  Outside outside;
  PortBus bus;
  MemoryBus memory;
  A20Gate a20{[this](bool enabled) { outside.a20 = enabled; }};
  Port92 port_92{a20, [this] { ++outside.resets; }};
  DebugPorts debug{nullptr, {}};
  TestDevice test_device{[this](unsigned line, bool level) { outside.lines[line] = level; }, {}};
};

TEST(SavedChips, TheSmallOnesGoOn) {
  const SavedTwins<SmallWorld> twins(50, 200);
  twins.expect_that_they_agree();
}

TEST(SavedChips, EachFieldOfTheSmallOnesShows) {
  const SavedTwins<SmallWorld> twins(30, 200);
  twins.expect_that_each_field_shows({});
}

}  // namespace
}  // namespace ringshift

// PCI host, bridges, shadow RAM and power management, saved and loaded in the middle of random
// traffic.
#include <gtest/gtest.h>

#include "devices/pci/firmware_memory.h"
#include "devices/pci/pci_chipset.h"
#include "devices/pci/pci_host.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

struct PciWorld {
  struct Outside {
    int resets = 0, ends = 0;
    std::vector<uint8_t> shadow = std::vector<uint8_t>(0x40000);
    bool operator==(const Outside&) const = default;
  };
  class Dma final : public DmaMemory {
   public:
    explicit Dma(std::vector<uint8_t>& shadow) : shadow_(shadow) {}
    void read_ram(uint64_t, std::span<uint8_t>) override {}
    void write_ram(uint64_t address, std::span<const uint8_t> from) override {
      for (size_t i = 0; i < from.size(); ++i) shadow_.at(address - 0xc0000 + i) = from[i];
    }

   private:
    std::vector<uint8_t>& shadow_;
  };
  PciWorld() {
    std::string error;
    ram = GuestMemory::create(uint64_t{1} << 20, &error);
    std::vector<uint8_t> image(0x20000);
    for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<uint8_t>(i * 3);
    firmware = std::make_unique<FirmwareMemory>(std::move(image), *ram, dma, memory);
    host_bridge = std::make_unique<HostBridge>(buses, firmware.get());
    host.attach(0, 0, *host_bridge);
    host.attach(1, 0, isa_bridge);
    host.attach(1, 3, power);
    EXPECT_TRUE(ports.claim(0xcf8, 8, host, "host"));
    EXPECT_TRUE(ports.claim(0xb2, 2, power.command_ports(), "command"));
    EXPECT_TRUE(ports.claim(0xafe0, 4, power.event_ports(), "events"));
  }
  void visit_state(StateArchive& archive) {
    archive.part("pair", pair);
    archive.part("firmware", *firmware);
    archive.part("host", host);
    archive.part("host bridge", *host_bridge);
    archive.part("isa bridge", isa_bridge);
    archive.part("power", power);
  }
  uint64_t act(Random& random) {
    uint64_t answer = 0;
    switch (random.below(12)) {
      case 0: {
        const unsigned functions[][2] = {{0, 0}, {1, 0}, {1, 3}, {5, 0}};
        const auto& place = functions[random.below(4)];
        write_config(ports, place[0], place[1], random.below(256), AccessWidth::Byte,
                     random.byte());
        break;
      }
      case 1:
        write_config(ports, 0, 0, 0x59 + random.below(7), AccessWidth::Byte, random.byte());
        break;
      case 2:
        write_config(ports, 1, 0, 0x60 + random.below(4), AccessWidth::Byte,
                     random.one_in(3) ? 0x80 : 9 + random.below(3));
        break;
      case 3:
        write_config(ports, 1, 3, 0x40, AccessWidth::Dword, 0xb000 | random.below(2) << 8);
        write_config(ports, 1, 3, 0x80, AccessWidth::Byte, 1);
        break;
      case 4:
        host.wire(1 + random.below(5), 1 + random.below(4)).set_level(random.one_in(2));
        break;
      case 5:
        ports.write(static_cast<uint16_t>(0xb000 + random.below(2) * 0x100 + random.below(6)),
                    AccessWidth::Byte, random.byte() & 0x21);
        break;
      case 6:
        out8(power.command_ports(), random.below(2), random.one_in(2) ? 0xf0 + random.below(2) : 3);
        out8(power.event_ports(), random.below(4), random.byte());
        break;
      case 7:
        clock.advance(random.below(random.one_in(3) ? 2'000'000'000 : 1000));
        break;
      case 8:
        if (random.one_in(4)) ports.write(0xcf9, AccessWidth::Byte, random.byte());
        if (random.one_in(2)) ports.write(0xcf8, AccessWidth::Dword, random.word());
        break;
      case 9:
        memory.write(GuestPhysical(0xc0000 + 0x1000 * random.below(64)), AccessWidth::Dword,
                     random.word());
        break;
      default:
        answer = memory.read(GuestPhysical(0xc0000 + 0x1000 * random.below(64)), AccessWidth::Byte);
        break;
    }
    return answer ^ look(random) << 16;
  }
  uint64_t look(Random& random) {
    uint64_t answer = ports.read(0xcf8, AccessWidth::Dword) ^ ports.read(0xcf9, AccessWidth::Byte);
    answer = answer * 31 + ports.read(0xcfc, AccessWidth::Dword);
    if (random.one_in(8)) {
      answer = answer * 31 + ports.read(0xb000, AccessWidth::Dword) +
               ports.read(0xb004, AccessWidth::Word) + ports.read(0xb008, AccessWidth::Dword) +
               ports.read(0xb100, AccessWidth::Dword);
    }
    answer = answer * 31 + in8(power.command_ports(), 0) + in8(power.command_ports(), 1);
    answer = answer * 31 + in8(power.event_ports(), random.below(4));
    out8(pair.master_ports(), 0, 0x0a);
    out8(pair.slave_ports(), 0, 0x0a);  // the request registers: which lines are high
    return answer * 31 + in8(pair.master_ports(), 0) * 256U + in8(pair.slave_ports(), 0);
  }
  ManualClock clock;
  Outside outside;
  Dma dma{outside.shadow};
  PortBus ports;
  MemoryBus memory;
  PciBuses buses{ports, memory, {}};
  InterruptControllerPair pair;
  std::unique_ptr<GuestMemory> ram;
  std::unique_ptr<FirmwareMemory> firmware;
  PciHost host{pair, [this] { ++outside.resets; }};
  std::unique_ptr<HostBridge> host_bridge;
  IsaBridge isa_bridge{buses, host};
  PowerManagement power{buses, clock, host.system_control_wire(), [this] { ++outside.ends; }};
};

TEST(SavedPci, TheChipSetGoesOn) {
  const SavedTwins<PciWorld> twins(100, 200);
  twins.expect_that_they_agree();
}

TEST(SavedPci, EachFieldOfTheChipSetShows) {
  struct WithoutPair : PciWorld {
    void visit_state(StateArchive& archive) {
      archive.part("firmware", *firmware);
      archive.part("host", host);
      archive.part("host bridge", *host_bridge);
      archive.part("isa bridge", isa_bridge);
      archive.part("power", power);
    }
  };
  const SavedTwins<WithoutPair> twins(100, 150);
  twins.expect_that_each_field_shows({});
}

// Bits that no guest can change: another function, or another program's.
TEST(SavedPci, AnotherFunctionIsRefused) {
  PciWorld world;
  std::vector<uint8_t> saved;
  std::string error;
  const auto visit = [&](StateArchive& archive) { world.visit_state(archive); };
  ASSERT_TRUE(StateArchive::save(visit, &saved, &error));
  StateItems items = parse_state(saved);
  for_each_item(items, [](const std::string& path, StateItems& all, size_t i) {
    if (path == "isa bridge/config") all[i].payload[1] ^= 1;
  });
  EXPECT_FALSE(StateArchive::load(assemble_state(items), visit, &error));
  EXPECT_EQ(error,
            "saved state: isa bridge/config: bits that no guest can change are those of another "
            "function");
}

}  // namespace
}  // namespace ringshift

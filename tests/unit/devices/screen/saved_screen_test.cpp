// VGA and frame buffer, saved and loaded in the middle of random traffic.
#include <gtest/gtest.h>

#include "devices/screen/bochs_display.h"
#include "devices/screen/vga_text.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

struct Nothing {
  bool operator==(const Nothing&) const = default;
};

struct VgaWorld {
  void visit_state(StateArchive& archive) { archive.part("vga", vga); }
  uint64_t act(Random& random) {
    const uint64_t at = random.one_in(2) ? random.below(0x20000 - 4) : 0x18000 + random.below(100);
    switch (random.below(10)) {
      case 9:
        out8(vga.color_ports(), 0, random.byte());
        return in8(vga.color_ports(), 0);
      case 7:
        out8(random.one_in(2) ? vga.status_port() : vga.mono_status_port(), 0, random.byte());
        break;
      case 8: {  // some of the palette
        out8(vga.color_ports(), 7 + random.below(2), random.below(4));
        uint64_t answer = 0;
        for (int i = 0; i < 4; ++i) {
          answer = answer * 31 + in8(vga.color_ports(), 9);
          out8(vga.color_ports(), 9, random.byte());
        }
        return answer;
      }
      case 0:
        out8(vga.color_ports(), random.below(16), random.byte());
        break;
      case 1:
        out8(random.one_in(2) ? vga.crtc_ports() : vga.mono_crtc_ports(), random.below(2),
             random.byte());
        break;
      case 2:
        vga.write(at, random.one_in(2) ? AccessWidth::Byte : AccessWidth::Dword, random.word());
        break;
      case 3:
        return vga.read(at, AccessWidth::Dword);
      case 4:
        return in8(random.one_in(2) ? vga.status_port() : vga.mono_status_port(), 0);
      case 5:
        return in8(vga.crtc_ports(), random.below(2));
      default:
        return in8(vga.color_ports(), random.below(16));
    }
    return 0;
  }
  ManualClock clock;
  Nothing outside;
  VgaText vga;
};

TEST(SavedScreen, TheVgaGoesOn) {
  const SavedTwins<VgaWorld> twins(40, 1000);
  twins.expect_that_they_agree();
}

TEST(SavedScreen, EachFieldOfTheVgaShows) {
  const SavedTwins<VgaWorld> twins(4000, 600);  // until each has shown
  twins.expect_that_each_field_shows({});
}

struct DisplayWorld {
  struct Outside {
    int moves = 0;  // of a range: loading makes them, too
    bool operator==(const Outside&) const { return true; }
  };
  void visit_state(StateArchive& archive) { archive.part("display", display); }
  uint64_t act(Random& random) {
    const GuestPhysical base(0xe0000000 + (random.below(4) << 24));
    const GuestPhysical at = base + 0x100000 * random.below(4);
    switch (random.below(6)) {
      case 0:
        display.ports().write(0, AccessWidth::Word, random.below(12));
        display.ports().write(2, AccessWidth::Word, random.pick(kValues));
        break;
      case 1:
        (void)display.show(640, 480, 32);
        break;
      case 2:
        memory.write(at, AccessWidth::Dword, random.word());
        break;
      case 3:
        display.function().write_config(
            random.one_in(3) ? 0x04 : 0x10, AccessWidth::Dword,
            random.one_in(4) ? 2 : 0xe0000002 + (random.below(4) << 24));
        break;
      default:
        break;
    }
    return memory.read(at, AccessWidth::Dword) ^ display.ports().read(2, AccessWidth::Word) ^
           uint64_t { display.ports().read(0, AccessWidth::Word) } << 32 ^
           uint64_t { display.function().read_config(0x10, AccessWidth::Dword) } << 8;
  }
  static constexpr uint32_t kValues[] = {0, 1, 2, 8, 0x41, 0xc1, 16, 24, 32, 100, 640, 480, 1024};
  ManualClock clock;
  Outside outside;
  PortBus ports;
  MemoryBus memory;
  PciBuses buses{ports, memory, [this] { ++outside.moves; }};
  BochsDisplay display{buses, {0x55, 0xaa, 1}};
};

TEST(SavedScreen, TheDisplayGoesOn) {
  const SavedTwins<DisplayWorld> twins(6, 300);
  twins.expect_that_they_agree();
}

TEST(SavedScreen, EachFieldOfTheDisplayShows) {
  const SavedTwins<DisplayWorld> twins(200, 200);  // until each has shown
  twins.expect_that_each_field_shows({});
}

TEST(SavedScreen, ADisplayIsNotSwitchedToWhatIsNoMode) {
  DisplayWorld world;
  ASSERT_TRUE(world.display.show(640, 480, 32));
  std::vector<uint8_t> saved;
  std::string error;
  const auto visit = [&](StateArchive& archive) { world.visit_state(archive); };
  ASSERT_TRUE(StateArchive::save(visit, &saved, &error));
  StateItems items = parse_state(saved);
  for_each_item(items, [](const std::string& path, StateItems& all, size_t i) {
    if (path != "display/registers/values") return;
    all[i].payload[3] = all[i].payload[4] = 0;  // a width of none
  });
  EXPECT_FALSE(StateArchive::load(assemble_state(items), visit, &error));
  EXPECT_EQ(error, "saved state: display/registers/values: they are no mode");
}

}  // namespace
}  // namespace ringshift

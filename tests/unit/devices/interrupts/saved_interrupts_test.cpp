// The interrupt controllers, saved and loaded in the middle of random traffic.
#include <gtest/gtest.h>

#include "devices/board/apic_board.h"
#include "devices/interrupts/processor_interrupts.h"
#include "tests/support/saved_twins.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr uint32_t kAnyLine = 16;

struct PairWorld {
  struct Outside {
    int lines_heard = 0;
    bool operator==(const Outside&) const = default;
  };
  PairWorld() {
    pair.set_on_line([this](unsigned, bool) { ++outside.lines_heard; });
  }
  void visit_state(StateArchive& archive) { archive.part("pair", pair); }
  uint64_t act(Random& random) {
    PortDevice& chip = random.one_in(2) ? pair.master_ports() : pair.slave_ports();
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        pair.line(random.below(kAnyLine)).set_level(random.one_in(2));
        break;
      case 3:
        if (random.one_in(4)) out8(chip, random.below(2), random.byte());
        break;
      case 4:
        if (random.one_in(8)) initialize(chip, random);
        break;
      case 5:
        out8(chip, 0, random.byte() & 0xe7);  // OCW2
        break;
      case 6:
        out8(chip, 0, (random.byte() & 0xe7) | 8);  // OCW3
        break;
      case 7:
        out8(pair.elcr_ports(), random.below(2), random.byte());
        break;
      case 8:
        return in8(chip, random.below(2)) | uint64_t{in8(pair.elcr_ports(), random.below(2))} << 8;
      default:
        return pair.pending() ? 0x100U | pair.acknowledge() : 0;
    }
    return pair.pending() ? 1 : 0;
  }
  static void initialize(PortDevice& chip, Random& random) {
    out8(chip, 0, 0x10 | (random.byte() & 0x0f));
    for (uint32_t left = random.below(4); left != 0; --left) out8(chip, 1, random.byte());
    if (random.one_in(2)) out8(chip, 1, random.byte() & random.byte());  // a mask with holes
  }
  ManualClock clock;
  Outside outside;
  InterruptControllerPair pair;
};

TEST(SavedInterrupts, TheControllerPairGoesOn) {
  const SavedTwins<PairWorld> twins(200, 300);
  twins.expect_that_they_agree();
}

TEST(SavedInterrupts, EachFieldOfTheControllerPairShows) {
  const SavedTwins<PairWorld> twins(4000, 150);
  twins.expect_that_each_field_shows({});
}

struct ApicWorld {
  struct Outside {
    int refusals = 0;
    bool operator==(const Outside&) const = default;
  };
  ApicWorld() {
    board.local().set_on_refusal([this](const char*) { ++outside.refusals; });
  }
  void visit_state(StateArchive& archive) {
    archive.part("local", board.local());
    archive.part("io", board.io());
  }
  uint64_t act(Random& random) {
    switch (random.below(12)) {
      case 0:
        return write_local(random);
      case 1:
      case 2:
        return write_usual_local(random);
      case 3:
      case 4:
        memory.write(GuestPhysical(kIoApicBase), AccessWidth::Dword, random.below(0x44));
        memory.write(GuestPhysical(kIoApicBase + 0x10), AccessWidth::Dword, entry_part(random));
        return 0;
      case 5:
        return memory.read(GuestPhysical(kLocalApicBase + 16 * random.below(64)),
                           AccessWidth::Dword);
      case 6:
        return memory.read(GuestPhysical(kIoApicBase + 0x10 * random.below(2)), AccessWidth::Dword);
      case 7:
      case 8:
        board.io().set_input(random.below(IoApic::kInputs), random.one_in(2));
        return 0;
      case 9:
        clock.advance(random.below(200'000));
        return 0;
      case 10:
        if (random.one_in(200)) board.local().set_enabled(random.one_in(2));
        memory.write(GuestPhysical(kLocalApicBase + 0xb0), AccessWidth::Dword, 0);  // end
        return 0;
      default:
        break;
    }
    ProcessorInterrupts interrupts(pair, &board.local());
    if (interrupts.nmi_pending() && random.one_in(2)) {
      interrupts.take_nmi();
      return 0x1000;
    }
    return interrupts.pending() ? 0x100U | interrupts.acknowledge() : 0;
  }
  uint64_t write_local(Random& random) {
    memory.write(GuestPhysical(kLocalApicBase + 16 * random.below(64)), AccessWidth::Dword,
                 random.word());
    return board.local().pending();
  }
  // Registers with values that let interrupts come.
  uint64_t write_usual_local(Random& random) {
    const struct {
      uint32_t offset, value;
    } usual[] = {{0xf0, 0x100U | random.byte()},
                 {0x80, random.byte() & 0x30U},
                 {0x320, random.byte() | (random.one_in(2) ? 0x20000U : 0)},
                 {0x380, random.below(4000)},
                 {0x3e0, random.byte()},
                 {0x350, random.one_in(2) ? 0x700U : 0x10700U},
                 {0x370, random.byte()},
                 {0xd0, 0x01000000U << random.below(8)},
                 {0xe0, random.one_in(2) ? 0xffffffffU : 0x0fffffffU},
                 {0x20, random.below(2) << 24},
                 {0x310, random.below(3) << 24},
                 {0x300, 0x4000U | random.byte() | random.below(4) << 18 | random.below(8) << 8},
                 {0x280, 0}};
    const auto& row = random.pick(usual);
    memory.write(GuestPhysical(kLocalApicBase + row.offset), AccessWidth::Dword, row.value);
    const uint64_t pending = board.local().pending() ? 1 : 0;
    return pending | (board.local().passes_external() ? 2U : 0U);
  }
  static uint32_t entry_part(Random& random) {
    if (random.one_in(3)) return random.word();
    return random.byte() | random.below(2) << 15 | random.below(2) << 11 | random.below(2) << 8;
  }
  ManualClock clock;
  Outside outside;
  MemoryBus memory;
  InterruptControllerPair pair;
  ApicBoard board{clock, memory, pair, true};
};

TEST(SavedInterrupts, TheApicsGoOn) {
  const SavedTwins<ApicWorld> twins(200, 500);
  twins.expect_that_they_agree();
}

TEST(SavedInterrupts, EachFieldOfTheApicsShows) {
  const SavedTwins<ApicWorld> twins(400, 400);
  twins.expect_that_each_field_shows({});
}

}  // namespace
}  // namespace ringshift

#include "devices/interrupts/io_apic.h"

#include <gtest/gtest.h>

#include <random>

#include "devices/board/apic_board.h"
#include "devices/interrupts/processor_interrupts.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr uint32_t kLevel = 1U << 15, kMasked = 1U << 16, kRemoteIrr = 1U << 14;

class IoApicTest : public ::testing::Test {
 protected:
  IoApicTest() { local().write(0xf0, AccessWidth::Dword, 0x1ff); }
  LocalApic& local() { return board_.local(); }
  uint32_t read(unsigned index) {
    memory_.write(GuestPhysical(kIoApicBase), AccessWidth::Dword, index);
    return memory_.read(GuestPhysical(kIoApicBase + 0x10), AccessWidth::Dword);
  }
  void write(unsigned index, uint32_t value) {
    memory_.write(GuestPhysical(kIoApicBase), AccessWidth::Dword, index);
    memory_.write(GuestPhysical(kIoApicBase + 0x10), AccessWidth::Dword, value);
  }
  void route(unsigned input, uint32_t low) {
    write(0x11 + 2 * input, 0);
    write(0x10 + 2 * input, low);
  }
  void end() { local().write(0xb0, AccessWidth::Dword, 0); }

  ManualClock clock_;
  MemoryBus memory_;
  InterruptControllerPair pair_;
  ApicBoard board_{clock_, memory_, pair_, true};
  ProcessorInterrupts interrupts_{pair_, &board_.local()};
};

TEST_F(IoApicTest, SaysWhatItIsAndStartsMasked) {
  EXPECT_EQ(read(1), 0x00170011U);
  EXPECT_EQ(read(0x10), kMasked);
  write(0, 0x02000000);
  EXPECT_EQ(read(0), 0x02000000U);
  EXPECT_EQ(read(0x40), 0U);
  EXPECT_EQ(read(0xff), 0U);
}

TEST_F(IoApicTest, AnEdgeInterruptsOnceForEachRise) {
  route(4, 0x34);
  pair_.line(4).set_level(true);
  ASSERT_TRUE(interrupts_.pending());
  EXPECT_EQ(interrupts_.acknowledge(), 0x34);
  pair_.line(4).set_level(true);
  end();
  EXPECT_FALSE(interrupts_.pending());
  pair_.line(4).set_level(false);
  pair_.line(4).set_level(true);
  EXPECT_EQ(interrupts_.acknowledge(), 0x34);
}

TEST_F(IoApicTest, TheTimersLineIsInputTwo) {
  route(0, 0x30);
  route(2, 0x32);
  pair_.line(0).set_level(true);
  EXPECT_EQ(interrupts_.acknowledge(), 0x32);
  end();
  EXPECT_FALSE(interrupts_.pending());
}

TEST_F(IoApicTest, ALevelInterruptsAgainUntilItFalls) {
  route(10, kLevel | 0x5a);
  pair_.line(10).set_level(true);
  EXPECT_EQ(interrupts_.acknowledge(), 0x5a);
  EXPECT_EQ(read(0x24), kRemoteIrr | kLevel | 0x5a);
  pair_.line(10).set_level(true);  // another device on the wire
  EXPECT_FALSE(interrupts_.pending());
  end();
  ASSERT_TRUE(interrupts_.pending());
  EXPECT_EQ(interrupts_.acknowledge(), 0x5a);
  pair_.line(10).set_level(false);
  end();
  EXPECT_FALSE(interrupts_.pending());
  EXPECT_EQ(read(0x24), kLevel | 0x5a);
}

TEST_F(IoApicTest, ALevelThatCameWhileMaskedIsServedWhenUnmasked) {
  route(11, kMasked | kLevel | 0x5b);
  pair_.line(11).set_level(true);
  EXPECT_FALSE(interrupts_.pending());
  route(11, kLevel | 0x5b);
  EXPECT_TRUE(interrupts_.pending());
}

TEST_F(IoApicTest, AnEdgeThatCameWhileMaskedIsLost) {
  pair_.line(4).set_level(true);
  route(4, 0x34);
  EXPECT_FALSE(interrupts_.pending());
}

TEST_F(IoApicTest, OtherDestinationsAndOtherModesAreNotForUs) {
  route(4, 0x34);
  write(0x11 + 8, 0x05000000);
  pair_.line(4).set_level(true);
  route(5, 0x35 | 7U << 8);  // external
  pair_.line(5).set_level(true);
  EXPECT_FALSE(interrupts_.pending());
  route(6, 0x36 | 4U << 8);
  pair_.line(6).set_level(true);
  EXPECT_FALSE(interrupts_.pending());
  EXPECT_TRUE(interrupts_.nmi_pending());
}

TEST_F(IoApicTest, ThePairIsHeardBesideItUntilItsWireIsMasked) {
  for (const auto& [port, value] : {std::pair{0, 0x11}, {1, 0x20}, {1, 4}, {1, 1}, {1, 0xef}}) {
    out8(pair_.master_ports(), static_cast<unsigned>(port), static_cast<unsigned>(value));
  }
  pair_.line(4).set_level(true);
  ASSERT_TRUE(interrupts_.pending());
  local().write(0x350, AccessWidth::Dword, kMasked | 0x700);
  EXPECT_FALSE(interrupts_.pending());
  local().write(0x350, AccessWidth::Dword, 0x700);
  EXPECT_EQ(interrupts_.acknowledge(), 0x24);
}

// Random writes, in any order with time and wires: no CHECK fails, and pending interrupts can be
// acknowledged.
TEST_F(IoApicTest, AllThreeSurviveRandomTraffic) {
  std::minstd_rand random(11);
  const auto pick = [&](unsigned below) { return static_cast<unsigned>(random()) % below; };
  constexpr uint64_t kBases[] = {kLocalApicBase, kIoApicBase, kHpetBase};
  for (int i = 0; i < 40'000; ++i) {
    const auto width = static_cast<AccessWidth>(1U << pick(3));
    const uint64_t offset = pick(0x400) & ~(static_cast<unsigned>(width) - 1);
    const GuestPhysical at(kBases[pick(3)] + (pick(4) == 0 ? offset : offset & ~uint64_t{15}));
    const auto value = static_cast<uint32_t>(random() * (pick(2) == 0 ? 1U : 77'777U));
    memory_.write(at, width, pick(3) == 0 ? value & 0xffff : value);
    (void)memory_.read(at, width);
    pair_.line(pick(16)).set_level(pick(2) == 0);
    clock_.advance(pick(50'000));
    if (pick(1000) == 0) local().set_enabled(!local().enabled());
    if (pick(4) == 0) local().write(0xf0, AccessWidth::Dword, 0x1ff);
    if (interrupts_.pending()) interrupts_.acknowledge();
    if (pick(2) == 0) end();
  }
}

}  // namespace
}  // namespace ringshift

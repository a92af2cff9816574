// The transport: its registers for drivers of both interfaces, and their effects.
#include "devices/virtio/virtio_pci.h"

#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr auto kByte = AccessWidth::Byte;
constexpr auto kWord = AccessWidth::Word;
constexpr auto kDword = AccessWidth::Dword;

class VirtioPciTest : public ::testing::Test {
 protected:
  uint32_t config(unsigned offset, AccessWidth width) {
    return bench.function.read_config(offset, width);
  }
  // A buffer of the entropy device, taken and filled.
  void ask_for_random_bytes(uint16_t head) {
    bench.add(0, head, {{0x80000, 16, true}});
    bench.notify(0);
  }
  CountingSource source;
  VirtioRng rng{source};
  VirtioBench bench{rng};
};

class VirtioInterfaces : public VirtioPciTest, public ::testing::WithParamInterface<Interface> {};
INSTANTIATE_TEST_SUITE_P(Both, VirtioInterfaces,
                         ::testing::Values(Interface::Legacy, Interface::Modern),
                         [](const auto& given) { return name_of(given.param); });

TEST_F(VirtioPciTest, IsATransitionalFunction) {
  EXPECT_EQ(config(0x00, kDword), 0x10051af4U);
  EXPECT_EQ(config(0x08, kDword), 0x00ff0000U);  // revision 0: a legacy driver takes it
  EXPECT_EQ(config(0x2c, kDword), 0x00041af4U);
  EXPECT_EQ(config(0x3d, kByte), 1U);
  TestMedium medium(512);
  VirtioBlk disk(medium, "x");
  VirtioBench other(disk);
  EXPECT_EQ(other.function.read_config(0x00, kDword), 0x10011af4U);
  EXPECT_EQ(other.function.read_config(0x2c, kDword), 0x00021af4U);
}

// Types of capabilities, by bits.
unsigned capabilities_of(VirtioPci& function) {
  const auto config = [&](unsigned at, AccessWidth width) {
    return function.read_config(at, width);
  };
  EXPECT_EQ(config(0x06, kWord) & 0x10, 0x10U);
  unsigned seen = 0;
  for (unsigned at = config(0x34, kByte); at != 0; at = config(at + 1, kByte)) {
    EXPECT_GE(at, 0x40U);
    EXPECT_EQ(at % 4, 0U);
    EXPECT_EQ(config(at, kByte), 9U);
    const unsigned type = config(at + 3, kByte);
    EXPECT_EQ(seen & 1U << type, 0U);
    seen |= 1U << type;
    EXPECT_EQ(config(at + 2, kByte), type == 2 || type == 5 ? 20U : 16U);
    if (type == 5) continue;
    EXPECT_EQ(config(at + 4, kByte), 1U);
    EXPECT_GE(config(at + 12, kDword), 1U);
    EXPECT_LE(config(at + 8, kDword) + config(at + 12, kDword), 4096U);
  }
  return seen;
}

// Common, notify, ISR, device, window. Linux refuses a device whose configuration has no length.
TEST_F(VirtioPciTest, CapabilitiesNameEachPartOnce) {
  EXPECT_EQ(capabilities_of(bench.function), 0x2eU);
  TestMedium medium(512);
  VirtioBlk disk(medium, "x");
  VirtioBench other(disk);
  EXPECT_EQ(capabilities_of(other.function), 0x3eU);
}

TEST_P(VirtioInterfaces, OffersWhatTheTransportHas) {
  const uint64_t low = uint64_t{7} << 27;  // any layout, indirect, event index
  const uint64_t expected = GetParam() == Interface::Legacy ? low : low | uint64_t{1} << 32;
  EXPECT_EQ(bench.offered(GetParam()), expected);
}

TEST_P(VirtioInterfaces, ABufferIsGivenBackWithAnInterrupt) {
  bench.start(GetParam(), ~kVirtioEventIndex);
  ask_for_random_bytes(3);
  EXPECT_EQ(bench.next_used(0), (Used{3, 16}));
  EXPECT_EQ(bench.memory.bytes[0x80000], 1);
  EXPECT_EQ(bench.memory.bytes[0x8000f], 16);
  EXPECT_EQ(bench.memory.bytes[0x80010], 0);
  EXPECT_TRUE(bench.line.level);
  EXPECT_EQ(bench.interrupt_status(GetParam()), 1);
  EXPECT_FALSE(bench.line.level);
  EXPECT_EQ(bench.interrupt_status(GetParam()), 0);
}

TEST_P(VirtioInterfaces, ADriverMayNotWantToBeInterrupted) {
  bench.start(GetParam(), ~kVirtioEventIndex);
  bench.set_number(bench.queues[0].available, 1, 2);
  ask_for_random_bytes(0);
  EXPECT_TRUE(bench.next_used(0));
  EXPECT_FALSE(bench.line.level);
}

TEST_P(VirtioInterfaces, EventIndicesSayWhenToTell) {
  bench.start(GetParam());
  const auto& rings = bench.queues[0];
  bench.set_number(rings.available + 4 + 2 * uint64_t{rings.size}, 2, 2);  // used_event
  for (uint16_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(bench.line.level);
    ask_for_random_bytes(i);
    EXPECT_EQ(bench.word(rings.used + 4 + 8 * uint64_t{rings.size}), i + 1);  // avail_event
    if (i == 2) {
      EXPECT_TRUE(bench.line.level);
      EXPECT_EQ(bench.interrupt_status(GetParam()), 1);
    }
  }
}

TEST_P(VirtioInterfaces, IndicesWrap) {
  bench.start(GetParam());
  for (unsigned i = 0; i < 70'000; ++i) {
    const auto head = static_cast<uint16_t>(i % 64);
    ask_for_random_bytes(head);
    ASSERT_EQ(bench.next_used(0), (Used{head, 16})) << i;
  }
  EXPECT_FALSE(bench.needs_reset());
}

TEST_P(VirtioInterfaces, ResetForgetsEverything) {
  bench.start(GetParam());
  ask_for_random_bytes(0);
  bench.set_status(GetParam(), 0);
  EXPECT_FALSE(bench.line.level);
  EXPECT_EQ(bench.status(GetParam()), 0);
  EXPECT_EQ(bench.interrupt_status(GetParam()), 0);
  EXPECT_EQ(bench.in(0x04, kDword), 0U);
  EXPECT_EQ(bench.in(0x08, kDword), 0U);
  EXPECT_EQ(bench.load(0x1c, kWord), 0U);
  ask_for_random_bytes(1);
  EXPECT_EQ(bench.line.rising_edges, 1);
  bench.start(GetParam());
  ask_for_random_bytes(1);
  EXPECT_EQ(bench.next_used(0), (Used{1, 16}));
}

TEST_P(VirtioInterfaces, AQueueThatIsNotThereHasNoSize) {
  if (GetParam() == Interface::Legacy) {
    bench.out(0x0e, kWord, 1);
    EXPECT_EQ(bench.in(0x0c, kWord), 0U);
    bench.out(0x08, kDword, 0x10);
    EXPECT_EQ(bench.in(0x08, kDword), 0U);
  } else {
    bench.store(0x16, kWord, 1);
    EXPECT_EQ(bench.load(0x18, kWord), 0U);
    bench.store(0x1c, kWord, 1);
    EXPECT_EQ(bench.load(0x1c, kWord), 0U);
  }
  bench.notify(1);
  EXPECT_EQ(bench.status(GetParam()), 0);
}

TEST_P(VirtioInterfaces, RingsBeyondRamAreRefused) {
  bench.set_status(GetParam(), 7);
  if (GetParam() == Interface::Legacy) {
    bench.out(0x08, kDword, kTestRam >> 12);
  } else {
    bench.place(0x20, kTestRam - 16);
    bench.store(0x1c, kWord, 1);
  }
  EXPECT_EQ(bench.status(GetParam()), 64 + 7);
  EXPECT_EQ(bench.interrupt_status(GetParam()), 2);  // the configuration has changed
  bench.notify(0);
  bench.set_status(GetParam(), 0);
  EXPECT_EQ(bench.status(GetParam()), 0);
}

TEST_F(VirtioPciTest, FeaturesThatWereNotOfferedAreNotOk) {
  bench.set_status(Interface::Modern, 3);
  bench.agree_to(Interface::Modern, kVirtioVersion1 | 1);
  EXPECT_EQ(bench.status(Interface::Modern), 3);
  bench.agree_to(Interface::Modern, kVirtioIndirect);  // of before version 1
  EXPECT_EQ(bench.status(Interface::Modern), 3);
  bench.agree_to(Interface::Modern, kVirtioVersion1);
  EXPECT_EQ(bench.status(Interface::Modern), 11);
  bench.agree_to(Interface::Modern, 0);  // too late
  bench.store(0x08, kDword, 1);
  EXPECT_EQ(bench.load(0x0c, kDword), 1U);
  EXPECT_EQ(bench.status(Interface::Modern), 11);
}

TEST_F(VirtioPciTest, AModernQueueWaitsForDriverOkAndForTheBus) {
  bench.set_status(Interface::Modern, 3);
  bench.agree_to(Interface::Modern, kVirtioVersion1);
  bench.set_up_queue(Interface::Modern, 0);
  ask_for_random_bytes(0);
  EXPECT_FALSE(bench.next_used(0));
  bench.function.write_config(0x04, kWord, 3);  // no bus master
  bench.set_status(Interface::Modern, 15);
  ask_for_random_bytes(1);
  EXPECT_FALSE(bench.next_used(0));
  bench.function.write_config(0x04, kWord, 7);
  ask_for_random_bytes(2);
  EXPECT_EQ(bench.next_used(0), (Used{0, 16}));
  EXPECT_EQ(bench.next_used(0), (Used{1, 16}));
  EXPECT_EQ(bench.next_used(0), (Used{2, 16}));
}

TEST_F(VirtioPciTest, WhatWaitsIsServedAtDriverOk) {
  bench.set_status(Interface::Modern, 3);
  bench.agree_to(Interface::Modern, kVirtioVersion1);
  bench.set_up_queue(Interface::Modern, 0);
  ask_for_random_bytes(0);
  bench.set_status(Interface::Modern, 15);
  EXPECT_TRUE(bench.next_used(0));
}

// Drivers of Linux before 2.6.34.
TEST_F(VirtioPciTest, ALegacyQueueNeedsNeitherDriverOkNorTheBus) {
  bench.started = Interface::Legacy;
  bench.function.write_config(0x04, kWord, 1);
  bench.set_up_queue(Interface::Legacy, 0);
  ask_for_random_bytes(0);
  EXPECT_TRUE(bench.next_used(0));
}

TEST_F(VirtioPciTest, AQueueInUseKeepsItsPlace) {
  bench.start(Interface::Modern);
  bench.place(0x20, 0x123000);
  bench.store(0x18, kWord, 2);
  EXPECT_EQ(bench.load(0x20, kDword), bench.queues[0].descriptors);
  EXPECT_EQ(bench.load(0x18, kWord), 64U);
  bench.store(0x1c, kWord, 0);
  EXPECT_EQ(bench.load(0x1c, kWord), 1U);
}

TEST_F(VirtioPciTest, AQueueMayBeSmallerThanItCouldBe) {
  bench.set_status(Interface::Modern, 3);
  bench.agree_to(Interface::Modern, kVirtioVersion1);
  for (const unsigned no_size : {0U, 3U, 128U, 0xffffU}) {
    bench.store(0x18, kWord, no_size);
    EXPECT_EQ(bench.load(0x18, kWord), 64U);
  }
  bench.store(0x18, kWord, 4);
  bench.set_up_queue(Interface::Modern, 0);
  EXPECT_EQ(bench.queues[0].size, 4);
  bench.set_status(Interface::Modern, 15);
  for (unsigned i = 0; i < 9; ++i) {
    ask_for_random_bytes(static_cast<uint16_t>(i % 4));
    EXPECT_EQ(bench.next_used(0), (Used{i % 4, 16}));
  }
}

TEST_F(VirtioPciTest, ALegacyDriverTakesItsQueueBack) {
  bench.start(Interface::Legacy);
  ask_for_random_bytes(0);
  bench.out(0x08, kDword, 0);
  EXPECT_EQ(bench.in(0x08, kDword), 0U);
  ask_for_random_bytes(1);
  bench.set_up_queue(Interface::Legacy, 0);  // from the beginning
  ask_for_random_bytes(2);
  EXPECT_EQ(bench.next_used(0), (Used{2, 16}));
  EXPECT_FALSE(bench.next_used(0));
}

TEST_F(VirtioPciTest, InterruptsCanBeDisabledInTheCommandRegister) {
  bench.start(Interface::Modern, ~kVirtioEventIndex);
  bench.function.write_config(0x04, kWord, 0x407);
  ask_for_random_bytes(0);
  EXPECT_FALSE(bench.line.level);
  bench.function.write_config(0x04, kWord, 7);
  EXPECT_TRUE(bench.line.level);
}

// 4.1.4.7: for a driver that cannot reach device memory.
TEST_F(VirtioPciTest, RegistersAreReachedByConfigurationSpace) {
  const auto window = [this](unsigned offset, unsigned length) {
    bench.function.write_config(0x88, kByte, 1);
    bench.function.write_config(0x8c, kDword, offset);
    bench.function.write_config(0x90, kDword, length);
  };
  window(0x14, 1);
  bench.function.write_config(0x94, kByte, 3);
  EXPECT_EQ(bench.status(Interface::Modern), 3);
  window(0x18, 2);
  EXPECT_EQ(config(0x94, kWord), 64U);
  bench.start(Interface::Modern, ~kVirtioEventIndex);
  bench.add(0, 5, {{0x80000, 4, true}});
  window(0x200, 2);
  bench.function.write_config(0x94, kWord, 0);
  EXPECT_EQ(bench.next_used(0), (Used{5, 4}));
  window(0x40, 1);
  EXPECT_EQ(config(0x94, kByte), 1U);
  EXPECT_FALSE(bench.line.level);
  // Places outside of any range do nothing.
  for (const auto& [offset, length] :
       {std::pair{0x15U, 2U}, {0x14U, 3U}, {0x1000U, 1U}, {0xfffffffcU, 4U}, {0x14U, 0U}}) {
    window(offset, length);
    bench.function.write_config(0x94, kDword, 0);
    (void)config(0x94, kDword);
  }
  EXPECT_EQ(bench.status(Interface::Modern), 15);
}

// Widths that no driver should use reach the bytes that they cover.
TEST_F(VirtioPciTest, AccessesOfOtherWidths) {
  bench.store(0x20, kByte, 0x11);
  bench.store(0x21, kByte, 0x22);
  bench.store(0x22, kWord, 0x4433);
  EXPECT_EQ(bench.load(0x20, kDword), 0x44332211U);
  EXPECT_EQ(bench.load(0x21, kWord), 0x3322U);
  EXPECT_EQ(bench.load(0x10, kDword), 0x0001ffffU);  // no vector, one queue
  EXPECT_EQ(bench.in(0x0b, kDword), 0x00004000U);    // 64 entries, seen from beside them
  bench.out(0x12, kWord, 0x0003);
  EXPECT_EQ(bench.in(0x12, kWord), 3U);
  EXPECT_EQ(bench.load(0x38, kDword), 0U);
  EXPECT_EQ(bench.load(0xffc, kDword), 0U);
}

TEST_F(VirtioPciTest, ADriverCannotClearWhatItMustNot) {
  bench.start(Interface::Modern);
  bench.add(0, 64, {{0x80000, 4, true}});  // there is no such descriptor
  bench.queues[0].size = 64;
  bench.notify(0);
  EXPECT_TRUE(bench.needs_reset());
  bench.set_status(Interface::Modern, 15);
  EXPECT_TRUE(bench.needs_reset());
  bench.set_status(Interface::Modern, 0);
  EXPECT_FALSE(bench.needs_reset());
}

}  // namespace
}  // namespace ringshift

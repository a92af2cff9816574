// Rings as no driver makes them: each is found out, ends at once, and the device asks for a reset.
#include "devices/virtio/virtqueue.h"

#include <random>

#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

class HostileRings : public ::testing::TestWithParam<Interface> {
 protected:
  HostileRings() { bench.start(GetParam()); }
  // It works before, breaks, stays broken, and works after a reset.
  void expect_to_break() {
    bench.notify(0);
    EXPECT_TRUE(bench.needs_reset());
    EXPECT_EQ(bench.interrupt_status(GetParam()) & 2, 2);
    const uint8_t before = source.next;
    bench.notify(0);
    EXPECT_EQ(source.next, before);
    bench.start(GetParam());
    bench.add(0, 0, {{0x80000, 16, true}});
    bench.notify(0);
    EXPECT_EQ(bench.next_used(0), (Used{0, 16}));
    EXPECT_FALSE(bench.needs_reset());
  }
  [[nodiscard]] uint64_t descriptors() { return bench.queues[0].descriptors; }
  CountingSource source;
  VirtioRng rng{source};
  VirtioBench bench{rng};
};
INSTANTIATE_TEST_SUITE_P(Both, HostileRings,
                         ::testing::Values(Interface::Legacy, Interface::Modern),
                         [](const auto& given) { return name_of(given.param); });

TEST_P(HostileRings, ADescriptorThatNamesItself) {
  bench.set_descriptor(descriptors(), 2, {0x80000, 16, true}, kDescNext, 2);
  bench.offer(0, 2);
  expect_to_break();
}

TEST_P(HostileRings, ALoopOfMany) {
  for (unsigned i = 0; i < 64; ++i) {
    bench.set_descriptor(descriptors(), i, {0x80000, 1, true}, kDescNext, (i + 1) % 64);
  }
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, AHeadBeyondTheTable) {
  bench.offer(0, 64);
  expect_to_break();
}

TEST_P(HostileRings, ANextBeyondTheTable) {
  bench.set_descriptor(descriptors(), 0, {0x80000, 16, true}, kDescNext, 0xffff);
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, MoreThanTheRingHolds) {
  bench.set_number(bench.queues[0].available + 2, 65, 2);
  expect_to_break();
}

TEST_P(HostileRings, AnIndexThatGoesBack) {
  bench.add(0, 0, {{0x80000, 16, true}});
  bench.notify(0);
  bench.set_number(bench.queues[0].available + 2, 0, 2);
  expect_to_break();
}

TEST_P(HostileRings, AddressesBeyondRam) {
  const Piece pieces[] = {{kTestRam, 1, true},           {kTestRam - 1, 2, true},
                          {0, 0xffffffff, true},         {~uint64_t{0}, 1, true},
                          {~uint64_t{0} - 15, 16, true}, {uint64_t{1} << 32, 16, true}};
  for (const Piece& piece : pieces) {
    bench.add(0, 0, {piece});
    expect_to_break();
  }
}

TEST_P(HostileRings, AReadablePieceBehindAWritableOne) {
  bench.add(0, 0, {{0x80000, 16, true}, {0x81000, 16, false}});
  expect_to_break();
}

TEST_P(HostileRings, ATableInATable) {
  bench.set_descriptor(0x90000, 0, {0x91000, 16}, kDescIndirect, 0);
  bench.set_chain(0x91000, 0, {{0x80000, 16, true}});
  bench.set_descriptor(descriptors(), 0, {0x90000, 16}, kDescIndirect, 0);
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, ATableThatIsItself) {
  bench.set_descriptor(descriptors(), 0, {descriptors(), 16}, kDescIndirect, 0);
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, ATableThatAlsoGoesOn) {
  bench.set_chain(0x90000, 0, {{0x80000, 16, true}});
  bench.set_descriptor(descriptors(), 0, {0x90000, 16}, kDescIndirect | kDescNext, 1);
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, TablesOfStrangeSizes) {
  for (const uint32_t bytes : {0U, 8U, 17U, 0xfffffff0U}) {
    bench.set_chain(0x90000, 0, {{0x80000, 16, true}});
    bench.set_descriptor(descriptors(), 0, {0x90000, bytes}, kDescIndirect, 0);
    bench.offer(0, 0);
    expect_to_break();
  }
}

TEST_P(HostileRings, ATableBeyondRam) {
  bench.set_descriptor(descriptors(), 0, {kTestRam - 16, 32}, kDescIndirect, 0);
  bench.offer(0, 0);
  expect_to_break();
}

TEST_P(HostileRings, ATableWithoutTheFeature) {
  bench.start(GetParam(), ~kVirtioIndirect);
  bench.add(0, 0, {{0x80000, 16, true}}, 0x90000);
  expect_to_break();
}

TEST_P(HostileRings, TablesMayFollowDescriptorsAndBeLongerThanTheQueue) {
  std::vector<Piece> pieces(Virtqueue::kMostDescriptors - 1, Piece{0x80000, 1, true});
  bench.set_chain(0x90000, 0, pieces);
  bench.set_descriptor(descriptors(), 7, {0x81000, 1, true}, kDescNext, 8);
  bench.set_descriptor(descriptors(), 8, {0x90000, static_cast<uint32_t>(16 * pieces.size())},
                       kDescIndirect, 0);
  bench.offer(0, 7);
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{7, Virtqueue::kMostDescriptors}));
}

TEST_P(HostileRings, ATableOfTooMany) {
  std::vector<Piece> pieces(Virtqueue::kMostDescriptors + 1, Piece{0x80000, 1, true});
  bench.add(0, 0, pieces, 0x90000);
  expect_to_break();
}

TEST_P(HostileRings, PiecesOfNothingAreNothing) {
  bench.add(0, 0, {{0x80000, 0, true}, {~uint64_t{0}, 0, true}});
  bench.notify(0);
  EXPECT_TRUE(bench.needs_reset());  // nothing, but not in RAM
  bench.start(GetParam());
  bench.add(0, 0, {{0x80000, 0, true}, {0x80000, 3, true}, {0, 0, true}});
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{0, 3}));
}

// Rings over each other, over data, over tables: whatever is written there is read there.
TEST_P(HostileRings, RandomRamAroundTheRings) {
  std::mt19937 random(5);
  uint64_t served = 0;
  for (int i = 0; i < 3000; ++i) {
    bench.start(GetParam());
    const uint64_t end = bench.queues[0].used + 0x1000;
    for (int bytes = 0; bytes < 40; ++bytes) {
      const uint64_t at = descriptors() + random() % (end - descriptors());
      bench.memory.bytes[at] = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 5);
    }
    for (unsigned index = 0; index < 8; ++index) {
      const Piece piece{descriptors() + random() % 0x4000, static_cast<uint32_t>(random() % 64),
                        random() % 4 != 0};
      bench.set_descriptor(descriptors(), index, piece, static_cast<unsigned>(random() % 8),
                           static_cast<unsigned>(random() % 10));
    }
    bench.set_number(bench.queues[0].available + 2, random() % 66, 2);
    bench.notify(0);
    bench.clock.advance(1);
    served += bench.needs_reset() ? 0 : 1;
  }
  EXPECT_GT(served, 20U);
  EXPECT_LT(served, 2900U);
}

}  // namespace
}  // namespace ringshift

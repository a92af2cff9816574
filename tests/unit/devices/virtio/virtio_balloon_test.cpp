// Pages put into a balloon, and pages reported as free, are given back, in pieces that touch only
// RAM; numbers of pages that are none break the device.
#include "devices/virtio/virtio_balloon.h"

#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr uint64_t kPage = 4096;

class VirtioBalloonTest : public ::testing::Test {
 protected:
  VirtioBalloonTest() {
    device.set_on_change([this] { ++changes; });
  }
  void SetUp() override { bench.start(Interface::Modern); }
  // A list of pages in a chain of its own.
  void list(uint16_t queue, const std::vector<uint32_t>& pages) {
    uint64_t at = 0x80000;
    for (const uint32_t page : pages) {
      bench.set_number(at, page, 4);
      at += 4;
    }
    bench.add(queue, 0, {{0x80000, static_cast<uint32_t>(4 * pages.size()), false}});
    bench.notify(queue);
  }

  struct Range {
    uint64_t address = 0, bytes = 0;
    bool operator==(const Range&) const = default;
  };
  std::vector<Range> given;
  int changes = 0;
  VirtioBalloon device{
      {.ram_bytes = kTestRam, .give_back = [this](uint64_t address, uint64_t bytes) {
         given.push_back({address, bytes});
       }}};
  VirtioBench bench{device};
};

TEST_F(VirtioBalloonTest, PagesThatFollowEachOtherAreGivenBackTogether) {
  list(0, {100, 101, 102, 7, 900, 901});
  EXPECT_EQ(given, (std::vector<Range>{
                       {100 * kPage, 3 * kPage}, {7 * kPage, kPage}, {900 * kPage, 2 * kPage}}));
  EXPECT_EQ(bench.next_used(0), (Used{0, 0}));
}

TEST_F(VirtioBalloonTest, WhatComesOutNeedsNothing) {
  list(1, {100, 101});
  EXPECT_TRUE(given.empty());
  EXPECT_EQ(bench.next_used(1), (Used{0, 0}));
}

TEST_F(VirtioBalloonTest, APageThatIsNoneBreaksIt) {
  list(0, {kTestRam / kPage - 1, kTestRam / kPage});
  EXPECT_TRUE(bench.needs_reset());
  for (const Range& one : given) EXPECT_LE(one.address + one.bytes, kTestRam);
  bench.start(Interface::Modern);
  list(0, {0xffffffff});
  EXPECT_TRUE(bench.needs_reset());
}

TEST_F(VirtioBalloonTest, AListThatNoDriverGivesBreaksIt) {
  bench.add(0, 0, {{0, 4 * VirtioBalloon::kMostListed + 4, false}});
  bench.notify(0);
  EXPECT_TRUE(bench.needs_reset());
  EXPECT_TRUE(given.empty());
}

TEST_F(VirtioBalloonTest, TheHostsWishIsAChangeOfTheConfiguration) {
  device.set_target(kTestRam - 25 * kPage);
  EXPECT_EQ(bench.config(Interface::Modern, 0, 4), 25U);
  EXPECT_EQ(bench.interrupt_status(Interface::Modern) & 2, 2);
  device.set_target(2 * kTestRam);
  EXPECT_EQ(bench.config(Interface::Modern, 0, 4), 0U);
}

TEST_F(VirtioBalloonTest, WhatTheGuestHasGivenIsKnown) {
  EXPECT_EQ(device.kept_bytes(), kTestRam);
  bench.store(0x104, AccessWidth::Dword, 16);
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(device.kept_bytes(), kTestRam - 16 * kPage);
  bench.store(0x104, AccessWidth::Dword, 0xffffffff);
  EXPECT_EQ(device.kept_bytes(), 0U);
  bench.set_status(Interface::Modern, 0);
  EXPECT_EQ(device.kept_bytes(), kTestRam);
}

TEST_F(VirtioBalloonTest, ReportsAreGivenBackInWholePages) {
  bench.add(3, 0, {{0x100000, 0x10000, true}, {0x200800, 0x2000, true}, {0x300000, 0x7ff, true}});
  bench.notify(3);
  EXPECT_EQ(given, (std::vector<Range>{{0x100000, 0x10000}, {0x201000, 0x1000}}));
  EXPECT_EQ(bench.next_used(3), (Used{0, 0}));
}

TEST_F(VirtioBalloonTest, AReportOfAllOfRamManyTimesOverTakesTurns) {
  std::vector<Piece> all(40, Piece{0, kTestRam, true});
  bench.add(3, 0, all);
  bench.notify(3);
  EXPECT_FALSE(bench.next_used(3));
  uint64_t before = 0;
  for (const Range& one : given) before += one.bytes;
  EXPECT_LE(before, VirtioBalloon::kMostAtOnce);
  for (int i = 0; i < 100; ++i) bench.clock.advance(1);
  EXPECT_EQ(bench.next_used(3), (Used{0, 0}));
  uint64_t after = 0;
  for (const Range& one : given) after += one.bytes;
  EXPECT_EQ(after, 40 * uint64_t{kTestRam});
}

TEST_F(VirtioBalloonTest, AReportToReadBreaksIt) {
  bench.add(3, 0, {{0x100000, 0x1000, false}});
  bench.notify(3);
  EXPECT_TRUE(bench.needs_reset());
}

TEST_F(VirtioBalloonTest, StatisticsAreToldWhenTheyAreAskedFor) {
  EXPECT_FALSE(device.statistics().any());
  const auto tell = [&](uint64_t free, uint64_t faults) {
    bench.set_number(0x80000, 4, 2);
    bench.set_number(0x80002, free, 8);
    bench.set_number(0x8000a, 3, 2);
    bench.set_number(0x8000c, faults, 8);
    bench.set_number(0x80014, 99, 2);  // of a newer driver
    bench.set_number(0x80016, 1, 8);
    bench.set_number(0x8001e, 0, 2);
    bench.set_number(0x80020, ~uint64_t{0}, 8);  // not known
    bench.add(2, 0, {{0x80000, 40, false}});
    bench.notify(2);
  };
  tell(1000, 7);
  EXPECT_FALSE(bench.next_used(2));  // it is kept until somebody asks
  const BalloonStatistics first = device.statistics();
  EXPECT_EQ(first.by_tag[4], 1000U);
  EXPECT_EQ(first.by_tag[3], 7U);
  EXPECT_FALSE(first.by_tag[0]);
  bench.clock.advance(1);
  EXPECT_EQ(bench.next_used(2), (Used{0, 0}));
  EXPECT_EQ(device.statistics().by_tag[4], 1000U);  // it has not told anew
  tell(2000, 8);
  EXPECT_EQ(device.statistics().by_tag[4], 2000U);
  bench.set_status(Interface::Modern, 0);
  EXPECT_FALSE(device.statistics().any());
}

TEST_F(VirtioBalloonTest, ADriverWithoutStatisticsReportsInTheThirdQueue) {
  bench.start(Interface::Modern, ~(uint64_t{1} << 1));
  bench.add(2, 0, {{0x100000, 0x10000, true}});
  bench.notify(2);
  EXPECT_EQ(given, (std::vector<Range>{{0x100000, 0x10000}}));
  EXPECT_FALSE(device.statistics().any());
}

TEST_F(VirtioBalloonTest, StatisticsOfAnyLengthDoNoHarm) {
  bench.add(2, 0, {{0x80000, 0x20000, false}});
  bench.notify(2);
  (void)device.statistics();
  bench.clock.advance(1);
  bench.add(2, 0, {{0x80000, 3, false}});
  bench.notify(2);
  EXPECT_FALSE(bench.needs_reset());
}

TEST(VirtioBalloon, OffersWhatItIsMadeWith) {
  VirtioBalloon plain(
      {.ram_bytes = kTestRam, .deflates_on_oom = false, .reports_free = false, .give_back = {}});
  EXPECT_EQ(plain.kind().features, 1U << 1);
  EXPECT_EQ(plain.kind().queues, 3U);
  VirtioBalloon whole({.ram_bytes = kTestRam, .give_back = {}});
  EXPECT_EQ(whole.kind().features, (1U << 1) | (1U << 2) | (1U << 5));
}

}  // namespace
}  // namespace ringshift

// Requests to a virtio disk, by drivers of both interfaces.
#include "devices/virtio/virtio_blk.h"

#include <numeric>
#include <string>

#include "devices/storage/paced_medium.h"
#include "tests/support/slow_disk.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr uint64_t kHeader = 0x80000, kData = 0x100000, kStatusAt = 0x90000;
constexpr uint32_t kRead = 0, kWrite = 1, kFlush = 4, kIdentify = 8, kDiscard = 11, kZero = 13;
constexpr uint64_t kFlushFeature = 1 << 9, kDiscardFeature = 1 << 13, kZeroFeature = 1 << 14;
constexpr size_t kDiskBytes = size_t{4} << 20;

class VirtioBlkTest : public ::testing::TestWithParam<Interface> {
 protected:
  VirtioBlkTest() { bench.start(GetParam()); }

  void set_header(uint64_t at, uint32_t type, uint64_t sector) {
    bench.set_number(at, type, 4);
    bench.set_number(at + 4, 0, 4);
    bench.set_number(at + 8, sector, 8);
  }
  // A request as drivers make them; the status, and what the queue says was written.
  uint8_t request(uint32_t type, uint64_t sector, std::vector<Piece> data,
                  uint32_t* written = nullptr) {
    set_header(kHeader, type, sector);
    bench.memory.bytes[kStatusAt] = 0xee;
    std::vector<Piece> pieces{{kHeader, 16, false}};
    pieces.insert(pieces.end(), data.begin(), data.end());
    pieces.push_back({kStatusAt, 1, true});
    bench.add(0, 0, pieces);
    bench.notify(0);
    const std::optional<Used> used = bench.next_used(0);
    EXPECT_TRUE(used);
    if (written != nullptr && used) *written = used->written;
    return bench.memory.bytes[kStatusAt];
  }
  uint8_t clear(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags) {
    set_range(kData, sector, sectors, flags);
    return request(type, 0, {{kData, 16, false}});
  }
  void set_range(uint64_t at, uint64_t sector, uint32_t sectors, uint32_t flags) {
    bench.set_number(at, sector, 8);
    bench.set_number(at + 8, sectors, 4);
    bench.set_number(at + 12, flags, 4);
  }
  [[nodiscard]] std::vector<uint8_t> ram(uint64_t at, size_t count) const {
    const auto begin = bench.memory.bytes.begin() + static_cast<ptrdiff_t>(at);
    return {begin, begin + static_cast<ptrdiff_t>(count)};
  }
  [[nodiscard]] std::vector<uint8_t> disk(uint64_t sector, size_t count) const {
    const auto begin = medium.content.begin() + static_cast<ptrdiff_t>(512 * sector);
    return {begin, begin + static_cast<ptrdiff_t>(count)};
  }
  TestMedium medium{kDiskBytes};
  VirtioBlk device{medium, "RS12345"};
  VirtioBench bench{device};
};
INSTANTIATE_TEST_SUITE_P(Both, VirtioBlkTest,
                         ::testing::Values(Interface::Legacy, Interface::Modern),
                         [](const auto& given) { return name_of(given.param); });

TEST_P(VirtioBlkTest, ConfigurationSaysWhatTheDiskIs) {
  const Interface how = GetParam();
  EXPECT_EQ(bench.config(how, 0, 8), kDiskBytes / 512);
  EXPECT_EQ(bench.config(how, 12, 4), 254U);
  EXPECT_EQ(bench.config(how, 20, 4), 512U);
  EXPECT_EQ(bench.config(how, 36, 4), 32768U);
  EXPECT_EQ(bench.config(how, 48, 4), 4096U);
  EXPECT_EQ(bench.config(how, 56, 1), 1U);
  EXPECT_EQ(bench.config(how, 60, 4), 0U);
  const uint64_t features = bench.offered(how);
  EXPECT_EQ(features & 0x7ffffff, 0x4U | 0x40U | kFlushFeature | kDiscardFeature | kZeroFeature);
}

TEST_P(VirtioBlkTest, ReadsIntoPieces) {
  uint32_t written = 0;
  EXPECT_EQ(request(kRead, 8, {{kData, 100, true}, {kData + 0x1000, 412, true}}, &written), 0);
  EXPECT_EQ(written, 513U);
  std::vector<uint8_t> got = ram(kData, 100);
  const std::vector<uint8_t> rest = ram(kData + 0x1000, 412);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(got, disk(8, 512));
}

TEST_P(VirtioBlkTest, WritesFromPieces) {
  std::iota(bench.memory.bytes.begin() + kData, bench.memory.bytes.begin() + kData + 1024,
            uint8_t{7});
  uint32_t written = 0;
  EXPECT_EQ(request(kWrite, 3, {{kData, 1000, false}, {kData + 1000, 24, false}}, &written), 0);
  EXPECT_EQ(written, 1U);
  EXPECT_EQ(disk(3, 1024), ram(kData, 1024));
  EXPECT_EQ(medium.flushes, 0);
}

// 2.6.4.3: where one piece ends means nothing.
TEST_P(VirtioBlkTest, HeaderAndStatusMayBeAnywhereInTheChain) {
  set_header(kHeader, kRead, 1);
  bench.add(0, 0, {{kHeader, 3, false}, {kHeader + 3, 13, false}, {kData, 513, true}});
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{0, 513}));
  EXPECT_EQ(ram(kData, 512), disk(1, 512));
  EXPECT_EQ(bench.memory.bytes[kData + 512], 0);
  // Header and data in one.
  set_header(kData, kWrite, 2);
  bench.add(0, 0, {{kData, 16 + 512, false}, {kStatusAt, 1, true}});
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{0, 1}));
  EXPECT_EQ(disk(2, 512), ram(kData + 16, 512));
}

TEST_P(VirtioBlkTest, ATableHoldsARequest) {
  set_header(kHeader, kRead, 5);
  bench.add(0, 9, {{kHeader, 16, false}, {kData, 4096, true}, {kStatusAt, 1, true}}, 0xa0000);
  bench.notify(0);
  EXPECT_EQ(bench.next_used(0), (Used{9, 4097}));
  EXPECT_EQ(ram(kData, 4096), disk(5, 4096));
}

TEST_P(VirtioBlkTest, ManyRequestsAtOnceAreOneInterrupt) {
  constexpr unsigned kMany = 40;
  for (unsigned i = 0; i < kMany; ++i) {
    set_header(kHeader + 16 * i, kRead, i);
    bench.add(
        0, static_cast<uint16_t>(3 * i),
        {{kHeader + 16 * i, 16, false}, {kData + 512 * i, 512, true}, {kStatusAt + i, 1, true}});
  }
  bench.notify(0);
  for (unsigned i = 0; i < kMany; ++i) EXPECT_EQ(bench.next_used(0), (Used{3 * i, 513}));
  EXPECT_EQ(ram(kData, size_t{512} * kMany), disk(0, size_t{512} * kMany));
  EXPECT_EQ(bench.line.rising_edges, 1);
}

// The part beyond a megabyte follows when the clock is looked at.
TEST_P(VirtioBlkTest, ALongRequestIsDoneInParts) {
  set_header(kHeader, kRead, 0);
  bench.memory.bytes[kStatusAt] = 0xee;
  bench.add(0, 0, {{kHeader, 16, false}, {kData, 0x280000, true}, {kStatusAt, 1, true}});
  bench.notify(0);
  EXPECT_FALSE(bench.next_used(0));
  EXPECT_EQ(ram(kData, 0x100000), disk(0, 0x100000));
  EXPECT_TRUE(bench.clock.next_deadline());
  bench.clock.run_due();
  EXPECT_FALSE(bench.next_used(0));
  bench.clock.run_due();
  EXPECT_EQ(bench.next_used(0), (Used{0, 0x280001}));
  EXPECT_EQ(bench.memory.bytes[kStatusAt], 0);
  EXPECT_EQ(ram(kData, 0x280000), disk(0, 0x280000));
  EXPECT_FALSE(bench.clock.next_deadline());
  EXPECT_TRUE(bench.line.level);
}

// The same piece of RAM over and over: a short chain that asks for much.
TEST_P(VirtioBlkTest, NoCallMovesMoreThanAMegabyte) {
  set_header(kHeader, kRead, 0);
  std::vector<Piece> pieces{{kHeader, 16, false}};
  for (int i = 0; i < 4; ++i) pieces.push_back({kData, 0x100000, true});
  pieces.push_back({kStatusAt, 1, true});
  bench.add(0, 0, pieces);
  bench.notify(0);
  int parts = 1;
  for (; !bench.next_used(0); ++parts) bench.clock.run_due();
  EXPECT_EQ(parts, 4);
}

TEST_P(VirtioBlkTest, AResetEndsARequest) {
  set_header(kHeader, kRead, 0);
  bench.add(0, 0, {{kHeader, 16, false}, {kData, 0x280000, true}, {kStatusAt, 1, true}});
  bench.notify(0);
  bench.start(GetParam());
  EXPECT_FALSE(bench.clock.next_deadline());
  EXPECT_EQ(request(kRead, 8, {{kData, 512, true}}), 0);
  EXPECT_EQ(ram(kData, 512), disk(8, 512));
}

TEST_P(VirtioBlkTest, WhatIsNotOnTheDiskIsAnError) {
  const uint64_t end = kDiskBytes / 512;
  for (const uint32_t type : {kRead, kWrite}) {
    const bool in = type == kRead;
    EXPECT_EQ(request(type, end, {{kData, 512, in}}), 1);
    EXPECT_EQ(request(type, end - 1, {{kData, 1024, in}}), 1);
    EXPECT_EQ(request(type, ~uint64_t{0}, {{kData, 512, in}}), 1);
    EXPECT_EQ(request(type, uint64_t{1} << 55, {{kData, 512, in}}), 1);
    EXPECT_EQ(request(type, 0, {{kData, 511, in}}), 1);
    EXPECT_EQ(request(type, end - 1, {{kData, 512, in}}), 0);
    EXPECT_EQ(request(type, end, {}), 0);  // of nothing
  }
}

TEST_P(VirtioBlkTest, TheHostsFailuresAreTheDisks) {
  medium.broken = true;
  EXPECT_EQ(request(kRead, 0, {{kData, 512, true}}), 1);
  EXPECT_EQ(request(kWrite, 0, {{kData, 512, false}}), 1);
  EXPECT_EQ(request(kFlush, 0, {}), 1);
  EXPECT_EQ(clear(kDiscard, 0, 8, 0), 1);
  EXPECT_EQ(clear(kZero, 0, 8, 0), 1);
  medium.broken = false;
  EXPECT_EQ(request(kRead, 0, {{kData, 512, true}}), 0);
  EXPECT_FALSE(bench.needs_reset());
}

TEST_P(VirtioBlkTest, FlushIsTheHosts) {
  EXPECT_EQ(request(kFlush, 0, {}), 0);
  EXPECT_EQ(medium.flushes, 1);
  bench.start(GetParam(), ~kFlushFeature);  // a driver that cannot flush has everything flushed
  EXPECT_EQ(request(kWrite, 0, {{kData, 512, false}}), 0);
  EXPECT_EQ(medium.flushes, 2);
  medium.broken = true;
  EXPECT_EQ(request(kWrite, 0, {{kData, 512, false}}), 1);
}

TEST_P(VirtioBlkTest, SaysWhichDiskItIs) {
  uint32_t written = 0;
  EXPECT_EQ(request(kIdentify, 0, {{kData, 20, true}}, &written), 0);
  EXPECT_EQ(written, 21U);
  EXPECT_STREQ(reinterpret_cast<const char*>(bench.memory.bytes.data() + kData), "RS12345");
  EXPECT_EQ(request(kIdentify, 0, {{kData, 3, true}}, &written), 0);
  EXPECT_EQ(written, 4U);
}

TEST_P(VirtioBlkTest, Discards) {
  EXPECT_EQ(clear(kDiscard, 16, 8, 0), 0);
  EXPECT_EQ(medium.discarded, (std::vector<TestMedium::Part>{{16 * 512, 8 * 512}}));
  set_range(kData, 0, 1, 0);
  set_range(kData + 16, 100, 2, 0);
  EXPECT_EQ(request(kDiscard, 0, {{kData, 32, false}}), 0);
  EXPECT_EQ(medium.discarded.size(), 3U);
  EXPECT_EQ(medium.discarded[2], (TestMedium::Part{100 * 512, 1024}));
  EXPECT_EQ(clear(kDiscard, 0, 0, 0), 0);  // nothing of it
  EXPECT_EQ(medium.discarded.size(), 3U);
  EXPECT_EQ(clear(kDiscard, 0, 8, 1), 2);
  EXPECT_EQ(clear(kDiscard, kDiskBytes / 512 - 7, 8, 0), 1);
  EXPECT_EQ(clear(kDiscard, ~uint64_t{0}, 8, 0), 1);
  EXPECT_EQ(clear(kDiscard, 0, 0xffffffff, 0), 1);
  EXPECT_EQ(request(kDiscard, 0, {{kData, 15, false}}), 1);
  EXPECT_EQ(request(kDiscard, 0, {}), 1);
  EXPECT_EQ(request(kDiscard, 0, {{kData, 33 * 16, false}}), 1);
  EXPECT_EQ(medium.discarded.size(), 3U);
}

TEST_P(VirtioBlkTest, WritesZeros) {
  EXPECT_EQ(clear(kZero, 4, 300, 0), 0);
  EXPECT_EQ(disk(4, 300 * 512), std::vector<uint8_t>(300 * 512));
  EXPECT_NE(disk(3, 512), std::vector<uint8_t>(512));
  EXPECT_NE(disk(304, 512), std::vector<uint8_t>(512));
  EXPECT_EQ(clear(kZero, 304, 1, 1), 0);
  EXPECT_EQ(disk(304, 512), std::vector<uint8_t>(512));
  EXPECT_EQ(clear(kZero, 0, 1, 2), 2);
  EXPECT_EQ(clear(kZero, 0, 4097, 0), 1);
  EXPECT_NE(disk(0, 512), std::vector<uint8_t>(512));
}

TEST_P(VirtioBlkTest, WhatWasNotAgreedOnIsUnsupported) {
  bench.start(GetParam(), ~(kDiscardFeature | kZeroFeature));
  EXPECT_EQ(clear(kDiscard, 0, 8, 0), 2);
  EXPECT_EQ(clear(kZero, 0, 8, 0), 2);
  for (const uint32_t type : {2U, 3U, 5U, 7U, 9U, 12U, 14U, 0x80000000U, 0xffffffffU}) {
    EXPECT_EQ(request(type, 0, {{kData, 512, false}}), 2) << type;
  }
  EXPECT_FALSE(bench.needs_reset());
}

TEST_P(VirtioBlkTest, AReadOnlyDiskSaysSo) {
  TestMedium locked(8192, true);
  VirtioBlk disk_of_it(locked, "x");
  VirtioBench other(disk_of_it);
  EXPECT_EQ(other.offered(GetParam()) & 0x7ffffff, 0x4U | 0x20U | 0x40U | kFlushFeature);
  other.start(GetParam());
  other.set_number(kHeader, kWrite, 4);
  other.add(0, 0, {{kHeader, 16, false}, {kData, 512, false}, {kStatusAt, 1, true}});
  other.notify(0);
  EXPECT_TRUE(other.next_used(0));
  EXPECT_EQ(other.memory.bytes[kStatusAt], 1);
}

TEST_P(VirtioBlkTest, ARequestWithoutRoomForOneBreaksTheDevice) {
  const std::vector<Piece> chains[] = {{{kHeader, 15, false}, {kStatusAt, 1, true}},
                                       {{kStatusAt, 1, true}},
                                       {{kHeader, 16, false}},
                                       {{kHeader, 16, false}, {kStatusAt, 0, true}}};
  for (const std::vector<Piece>& chain : chains) {
    bench.start(GetParam());
    set_header(kHeader, kRead, 0);
    bench.add(0, 0, chain);
    bench.notify(0);
    EXPECT_TRUE(bench.needs_reset());
  }
}

// A queue full of requests that each take long: no call does more than one of them.
TEST_P(VirtioBlkTest, OneFlushAtATime) {
  for (uint16_t i = 0; i < 60; ++i) {
    set_header(kHeader, kFlush, 0);
    bench.add(0, static_cast<uint16_t>(2 * i), {{kHeader, 16, false}, {kStatusAt, 1, true}});
  }
  bench.notify(0);
  EXPECT_EQ(medium.flushes, 1);
  for (int i = 2; i <= 60; ++i) {
    bench.clock.run_due();
    EXPECT_EQ(medium.flushes, i);
  }
  EXPECT_FALSE(bench.clock.next_deadline());
}

// At a rate of 100,000 bytes a second a second request is begun when the first is made up for.
TEST(VirtioBlkAtARate, RequestsWaitInTheRing) {
  Nanoseconds host_time = 0;
  const auto rate = std::make_shared<DiskRate>(100'000, [&] { return host_time; });
  LimitedDisk limited(std::make_shared<TestMedium>(kDiskBytes), rate);
  VirtioBlk device(limited, "RS1");
  VirtioBench bench(device);
  bench.start(Interface::Modern);
  bench.set_number(kHeader, kRead, 4);
  bench.set_number(kHeader + 4, 0, 4);
  bench.set_number(kHeader + 8, 0, 8);
  for (int i = 0; i < 2; ++i) {
    bench.add(0, static_cast<uint16_t>(4 * i),
              {{kHeader, 16, false}, {kData, 65536, true}, {kStatusAt, 1, true}});
  }
  bench.notify(0);
  EXPECT_TRUE(bench.next_used(0));
  EXPECT_FALSE(bench.next_used(0));
  ASSERT_EQ(bench.clock.armed_timers(), 1U);
  bench.notify(0);  // a second call is not served earlier
  EXPECT_FALSE(bench.next_used(0));
  host_time += 1'000'000'000;
  bench.clock.advance(1'000'000'000);
  EXPECT_TRUE(bench.next_used(0));
  EXPECT_EQ(bench.clock.armed_timers(), 0U);
}

// The driver looks, asks again and resets while the host is at work.
class SlowVirtioBlk : public ::testing::Test {
 protected:
  SlowVirtioBlk() { bench.start(Interface::Modern); }
  void ask(uint32_t type, uint64_t sector, std::vector<Piece> data) {
    bench.set_number(kHeader, type, 4);
    bench.set_number(kHeader + 4, 0, 4);
    bench.set_number(kHeader + 8, sector, 8);
    data.insert(data.begin(), {kHeader, 16, false});
    data.push_back({kStatusAt, 1, true});
    bench.add(0, 0, data);
    bench.notify(0);
  }
  void be_ready() {
    slow.be_ready();
    bench.clock.run_due();
  }
  TestMedium medium{kDiskBytes};
  SlowDisk slow{medium};
  VirtioBlk device{slow, "RS1"};
  VirtioBench bench{device};
};

TEST_F(SlowVirtioBlk, AReadIsThereWhenTheHostHasDoneItAndNotBefore) {
  ask(kRead, 8, {{kData, 512, true}});
  ASSERT_TRUE(slow.waiting());
  EXPECT_FALSE(bench.next_used(0));
  EXPECT_FALSE(bench.line.level);
  bench.notify(0);  // asking again changes nothing
  EXPECT_FALSE(bench.next_used(0));
  be_ready();
  EXPECT_EQ(bench.next_used(0), (Used{0, 513}));
  EXPECT_TRUE(bench.line.level);
  EXPECT_TRUE(std::equal(medium.content.begin() + 8 * 512, medium.content.begin() + 9 * 512,
                         bench.memory.bytes.begin() + kData));
  EXPECT_EQ(bench.memory.bytes[kStatusAt], 0);
}

TEST_F(SlowVirtioBlk, AWriteTakesItsBytesOnce) {
  std::fill_n(bench.memory.bytes.begin() + kData, 1024, uint8_t{0x11});
  ask(kWrite, 2, {{kData, 1024, false}});
  std::fill_n(bench.memory.bytes.begin() + kData, 1024, uint8_t{0x22});
  bench.notify(0);
  be_ready();
  EXPECT_EQ(bench.next_used(0), (Used{0, 1}));
  EXPECT_EQ(medium.content[2 * 512], 0x11);
  EXPECT_EQ(medium.content[4 * 512 - 1], 0x11);
}

TEST_F(SlowVirtioBlk, AFlushAndAFailureAreToldLater) {
  ask(kFlush, 0, {});
  EXPECT_EQ(medium.flushes, 0);
  be_ready();
  EXPECT_EQ(medium.flushes, 1);
  EXPECT_TRUE(bench.next_used(0));
  medium.broken = true;
  ask(kRead, 0, {{kData, 512, true}});
  EXPECT_FALSE(bench.next_used(0));
  be_ready();
  EXPECT_TRUE(bench.next_used(0));
  EXPECT_EQ(bench.memory.bytes[kStatusAt], 1);
}

TEST_F(SlowVirtioBlk, WhoIsToldLooksAgainBeforeItIsDone) {
  ask(kRead, 0, {{kData, 512, true}});
  bench.clock.advance(10'000'000);  // the device's own timer
  EXPECT_FALSE(bench.next_used(0));
  ASSERT_TRUE(slow.waiting());
  be_ready();
  EXPECT_TRUE(bench.next_used(0));
  EXPECT_FALSE(bench.clock.next_deadline());
}

TEST_F(SlowVirtioBlk, AResetForgetsTheRequestAndTheNextOneIsAnother) {
  ask(kRead, 1, {{kData, 512, true}});
  bench.start(Interface::Modern);
  EXPECT_FALSE(slow.waiting());
  ask(kRead, 7, {{kData, 512, true}});
  ASSERT_TRUE(slow.waiting());
  EXPECT_EQ(slow.waiting()->offset, 7U * 512);
  be_ready();
  EXPECT_EQ(bench.memory.bytes[kData], medium.content[7 * 512]);
}

}  // namespace
}  // namespace ringshift

// A virtio network card whose driver leaves sums and large packets to it (VIRTIO 1.2, 5.1.6).
#include <array>

#include "devices/virtio/virtio_net.h"
#include "tests/unit/devices/virtio/net_test_port.h"
#include "tests/unit/devices/virtio/tcp_test_support.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr uint16_t kReceive = VirtioNet::kReceiveQueue, kTransmit = VirtioNet::kTransmitQueue;
constexpr uint64_t kMerges = 1U << 15;
constexpr size_t kHeader = 12;

struct Offload {
  uint8_t flags = 0, segments = 0;
  uint16_t segment_bytes = 0, sum_start = 0, sum_offset = 0;
};
constexpr Offload kCut{.flags = 1, .segments = 1, .segment_bytes = 1000};

class VirtioNetLarge : public ::testing::TestWithParam<Interface> {
 protected:
  VirtioNetLarge() { bench.start(GetParam(), ~kVirtioEventIndex); }
  static uint64_t buffer(unsigned index) { return 0x80000 + uint64_t{0x1000} * index; }
  void give_buffers(uint16_t first, uint16_t count, uint32_t bytes) {
    for (uint16_t i = first; i < first + count; ++i) {
      bench.add(kReceive, i, {{buffer(i), bytes, true}});
    }
  }
  // The port's news is heard when the clock is looked at.
  void change() {
    port.change();
    bench.clock.run_due();
  }
  [[nodiscard]] Frame ram(uint64_t at, size_t count) const {
    const auto begin = bench.memory.bytes.begin() + static_cast<ptrdiff_t>(at);
    return {begin, begin + static_cast<ptrdiff_t>(count)};
  }
  // The chain's frame and its header, out of the buffers that it says it is in.
  Frame next_received(std::array<uint8_t, kHeader>* header) {
    const auto used = bench.next_used(kReceive);
    if (!used) return {};
    Frame bytes = ram(buffer(used->head), used->written);
    std::copy_n(bytes.begin(), kHeader, header->begin());
    bytes.erase(bytes.begin(), bytes.begin() + kHeader);
    for (unsigned i = 1; i < unsigned{(*header)[10]}; ++i) {
      const auto more = bench.next_used(kReceive);
      if (!more) return {};
      const Frame part = ram(buffer(more->head), more->written);
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
  }
  void transmit(const Frame& frame, const Offload& offload) {
    constexpr uint64_t kAt = 0x200000;
    Frame bytes(kHeader);
    bytes[0] = offload.flags;
    bytes[1] = offload.segments;
    const uint16_t words[] = {0, offload.segment_bytes, offload.sum_start, offload.sum_offset};
    for (size_t i = 0; i < std::size(words); ++i) {
      bytes[2 + 2 * i] = static_cast<uint8_t>(words[i]);
      bytes[3 + 2 * i] = static_cast<uint8_t>(words[i] >> 8);
    }
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    std::copy(bytes.begin(), bytes.end(), bench.memory.bytes.begin() + kAt);
    bench.add(kTransmit, 0, {{kAt, static_cast<uint32_t>(bytes.size()), false}});
    bench.notify(kTransmit);
    EXPECT_TRUE(bench.next_used(kTransmit));
  }
  // Three frames that follow each other, of 1,000 bytes each.
  void come_in_train() {
    for (unsigned i = 0; i < 3; ++i) {
      port.waiting.push_back(make_frame(part(i)));
    }
  }
  static TcpFrame part(unsigned index) {
    return {.sequence = 7 + 1000 * index,
            .number = static_cast<uint16_t>(index),
            .payload = 1000,
            .first = static_cast<uint8_t>(1000 * index)};
  }
  TestPort port;
  VirtioNet net{port, {0x52, 0x54, 0, 0x12, 0x34, 0x56}};
  VirtioBench bench{net};
};
INSTANTIATE_TEST_SUITE_P(Both, VirtioNetLarge,
                         ::testing::Values(Interface::Legacy, Interface::Modern),
                         [](const auto& given) { return name_of(given.param); });

TEST_P(VirtioNetLarge, ATrainComesAsOnePacketInSeveralBuffers) {
  come_in_train();
  give_buffers(0, 8, 1200);
  bench.notify(kReceive);
  std::array<uint8_t, kHeader> header{};
  const Frame got = next_received(&header);
  TcpFrame whole = part(0);
  whole.payload = 3000;
  Frame wanted = make_frame(whole);
  put_wide(wanted, 50, pseudo_sum_of(wanted, false, 34), 2);
  EXPECT_EQ(got, wanted);
  // NEEDS_CSUM, TCPV4, 54 bytes of headers, segments of 1,000; the sum at 16 from 34 on; 3 buffers.
  EXPECT_EQ(header, (std::array<uint8_t, kHeader>{1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0, 3, 0}));
  EXPECT_FALSE(bench.next_used(kReceive));
  EXPECT_TRUE(port.waiting.empty());
  // The buffers that were not needed are used next.
  port.waiting.push_back(make_frame(part(3)));
  change();
  EXPECT_EQ(next_received(&header), make_frame(part(3)));
  EXPECT_EQ(header[0], 2);  // DATA_VALID
  EXPECT_EQ(header[1], 0);
  EXPECT_EQ(header[10], 1);
}

TEST_P(VirtioNetLarge, BuffersBoundATrain) {
  come_in_train();
  give_buffers(0, 2, 1200);
  bench.notify(kReceive);
  std::array<uint8_t, kHeader> header{};
  EXPECT_EQ(next_received(&header).size(), 2054U);
  EXPECT_EQ(port.waiting.size(), 1U);
  give_buffers(2, 1, 600);  // not enough: it stays with the driver
  bench.notify(kReceive);
  EXPECT_FALSE(bench.next_used(kReceive));
  EXPECT_EQ(port.waiting.size(), 1U);
  give_buffers(3, 1, 600);
  bench.notify(kReceive);
  EXPECT_EQ(next_received(&header), make_frame(part(2)));
  EXPECT_EQ(header[10], 2);
}

TEST_P(VirtioNetLarge, WithoutMergedBuffersATrainIsAsLongAsItsBuffer) {
  bench.start(GetParam(), ~(kVirtioEventIndex | kMerges));
  const size_t header = GetParam() == Interface::Legacy ? 10 : 12;
  come_in_train();
  bench.add(kReceive, 0, {{0x80000, 2500, true}});
  bench.add(kReceive, 1, {{0x90000, 65562, true}});
  bench.notify(kReceive);
  EXPECT_EQ(bench.next_used(kReceive), (Used{0, static_cast<uint32_t>(header + 2054)}));
  EXPECT_EQ(bench.next_used(kReceive), (Used{1, static_cast<uint32_t>(header + 1054)}));
}

TEST_P(VirtioNetLarge, ADriverThatDoesNotTakeThemGetsFrames) {
  for (const uint64_t without : {1U << 1, 1U << 7}) {
    bench.start(GetParam(), ~(kVirtioEventIndex | without));
    come_in_train();
    give_buffers(0, 8, 1526);
    bench.notify(kReceive);
    std::array<uint8_t, kHeader> header{};
    for (unsigned i = 0; i < 3; ++i) {
      EXPECT_EQ(next_received(&header), make_frame(part(i)));
      EXPECT_EQ(header[0], without == 1U << 1 ? 0 : 2);
    }
  }
}

TEST_P(VirtioNetLarge, AFrameWithAWrongSumIsTheDriversToJudge) {
  come_in_train();
  port.waiting[1].back() ^= 1;
  give_buffers(0, 8, 1526);
  bench.notify(kReceive);
  std::array<uint8_t, kHeader> header{};
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_EQ(next_received(&header).size(), 1054U);
    EXPECT_EQ(header[0], i == 1 ? 0 : 2);
  }
}

TEST_P(VirtioNetLarge, BuffersWithoutRoomBreakIt) {
  come_in_train();
  bench.add(kReceive, 0, {{0x80000, kHeader - 1, true}});
  bench.notify(kReceive);
  EXPECT_TRUE(bench.needs_reset());
}

TEST_P(VirtioNetLarge, ManySmallBuffersAreNoMoreThanTheQueueHas) {
  port.waiting.emplace_back(1500, uint8_t{1});
  give_buffers(0, 255, 12);
  bench.notify(kReceive);
  std::array<uint8_t, kHeader> header{};
  EXPECT_EQ(next_received(&header), Frame(1500, 1));
  EXPECT_EQ(header[10], 126);
  EXPECT_FALSE(bench.needs_reset());
}

TEST_P(VirtioNetLarge, ALargePacketIsCutForTheWire) {
  TcpFrame whole = part(0);
  whole.payload = 3000;
  transmit(make_frame(whole), kCut);
  ASSERT_EQ(port.sent.size(), 3U);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(port.sent[i], make_frame(part(i)));
  EXPECT_EQ(port.flushes, 2);  // and when it was set up
}

TEST_P(VirtioNetLarge, APortThatTakesItGetsItWhole) {
  port.large = true;
  TcpFrame whole = part(0);
  whole.payload = 60'000;
  const Frame wanted = make_frame(whole);
  Frame frame = wanted;
  put_wide(frame, 50, pseudo_sum_of(frame, false, 34), 2);
  transmit(frame, kCut);
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent[0], wanted);
}

TEST_P(VirtioNetLarge, RoomForOneIsRoomForAllOfAPacket) {
  port.room = 1;
  TcpFrame whole = part(0);
  whole.payload = 3000;
  transmit(make_frame(whole), kCut);
  EXPECT_EQ(port.sent.size(), 3U);
  EXPECT_EQ(port.rounds, 1U);
}

TEST_P(VirtioNetLarge, ASumIsCompleted) {
  const Frame wanted = make_frame(part(0));
  Frame frame = wanted;
  put_wide(frame, 50, pseudo_sum_of(frame, false, 34), 2);
  transmit(frame, {.flags = 1, .sum_start = 34, .sum_offset = 16});
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent[0], wanted);
}

TEST_P(VirtioNetLarge, WhatMakesNoSenseGoesNowhere) {
  TcpFrame whole = part(0);
  whole.payload = 3000;
  const Frame frame = make_frame(whole);
  Offload wrong = kCut;
  for (const uint8_t segments : std::array<uint8_t, 4>{3, 4, 5, 0xff}) {
    wrong.segments = segments;
    transmit(frame, wrong);
  }
  wrong = kCut;
  for (const uint16_t bytes : std::array<uint16_t, 5>{0, 1, 63, 1465, 65535}) {
    wrong.segment_bytes = bytes;
    transmit(frame, wrong);
  }
  transmit(frame, {});  // too long for a frame
  Frame other = frame;
  other[23] = 17;
  transmit(other, kCut);
  const Frame small = make_frame(part(0));
  transmit(small, {.flags = 1, .sum_start = 1053, .sum_offset = 0});
  transmit(small, {.flags = 1, .sum_start = 65535, .sum_offset = 65535});
  bench.start(GetParam(), ~(kVirtioEventIndex | 1U << 11));
  transmit(frame, kCut);  // it has not agreed to
  EXPECT_TRUE(port.sent.empty());
  EXPECT_FALSE(bench.needs_reset());
}

}  // namespace
}  // namespace ringshift

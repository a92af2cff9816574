// A virtio network card between a driver of either interface and a port with little room.
#include "devices/virtio/virtio_net.h"

#include <numeric>

#include "tests/unit/devices/virtio/net_test_port.h"
#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

constexpr uint16_t kReceive = VirtioNet::kReceiveQueue, kTransmit = VirtioNet::kTransmitQueue;

class VirtioNetTest : public ::testing::TestWithParam<Interface> {
 protected:
  // Without what large packets need.
  VirtioNetTest() { bench.start(GetParam(), kPlain); }
  static constexpr uint64_t kPlain = ~(kVirtioEventIndex | 0x9983);
  [[nodiscard]] uint32_t header_bytes() const { return GetParam() == Interface::Legacy ? 10 : 12; }
  static Frame frame_of(size_t bytes, uint8_t first) {
    Frame frame(bytes);
    std::iota(frame.begin(), frame.end(), first);
    return frame;
  }
  static uint64_t buffer(unsigned index) { return 0x80000 + uint64_t{0x1000} * index; }
  void give_buffer(uint16_t head, uint32_t bytes = 1526) {
    bench.add(kReceive, head, {{buffer(head), bytes, true}});
  }
  void transmit(uint16_t head, const Frame& frame) {
    std::copy(frame.begin(), frame.end(),
              bench.memory.bytes.begin() + static_cast<ptrdiff_t>(0x200000 + 0x1000 * head));
    bench.add(kTransmit, head,
              {{0x1f0000, header_bytes(), false},
               {uint64_t{0x200000} + uint64_t{0x1000} * head, static_cast<uint32_t>(frame.size()),
                false}});
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
  TestPort port;
  VirtioNet net{port, {0x52, 0x54, 0, 0x12, 0x34, 0x56}};
  VirtioBench bench{net};
};
INSTANTIATE_TEST_SUITE_P(Both, VirtioNetTest,
                         ::testing::Values(Interface::Legacy, Interface::Modern),
                         [](const auto& given) { return name_of(given.param); });

TEST_P(VirtioNetTest, ConfigurationHasAddressAndLink) {
  EXPECT_EQ(bench.config(GetParam(), 0, 6), 0x563412005452U);
  EXPECT_EQ(bench.config(GetParam(), 6, 2), 1U);
  EXPECT_EQ(bench.offered(GetParam()) & 0x7ffffff, 0x9983U | 1U << 5 | 1U << 16);
  EXPECT_EQ(bench.function.read_config(0x00, AccessWidth::Dword), 0x10001af4U);
}

TEST_P(VirtioNetTest, AFrameIsSent) {
  const Frame frame = frame_of(60, 1);
  transmit(0, frame);
  bench.notify(kTransmit);
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent[0], frame);
  EXPECT_EQ(bench.next_used(kTransmit), (Used{0, 0}));
  EXPECT_TRUE(bench.line.level);
}

TEST_P(VirtioNetTest, HeaderAndFrameMayBeOnePiece) {
  const Frame frame = frame_of(100, 9);
  std::copy(frame.begin(), frame.end(), bench.memory.bytes.begin() + 0x200000 + header_bytes());
  bench.add(kTransmit, 3, {{0x200000, header_bytes() + 100, false}});
  bench.notify(kTransmit);
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent[0], frame);
}

TEST_P(VirtioNetTest, FramesOfNoEthernetGoNowhere) {
  const size_t sizes[] = {0, 13, 14, 1518, 1519, 4096};
  for (uint16_t i = 0; i < std::size(sizes); ++i)
    transmit(static_cast<uint16_t>(2 * i), Frame(sizes[i]));
  bench.notify(kTransmit);
  ASSERT_EQ(port.sent.size(), 2U);
  EXPECT_EQ(port.sent[0].size(), 14U);
  EXPECT_EQ(port.sent[1].size(), 1518U);
  for (unsigned i = 0; i < std::size(sizes); ++i) EXPECT_TRUE(bench.next_used(kTransmit));
}

TEST_P(VirtioNetTest, WithoutRoomFramesStayWithTheGuest) {
  port.room = 2;
  for (uint16_t i = 0; i < 5; ++i)
    transmit(static_cast<uint16_t>(2 * i), frame_of(20, static_cast<uint8_t>(i)));
  bench.notify(kTransmit);
  EXPECT_EQ(port.sent.size(), 2U);
  EXPECT_TRUE(bench.next_used(kTransmit));
  EXPECT_TRUE(bench.next_used(kTransmit));
  EXPECT_FALSE(bench.next_used(kTransmit));
  bench.notify(kTransmit);
  EXPECT_EQ(port.sent.size(), 2U);
  (void)bench.interrupt_status(GetParam());
  port.room = 1000;
  change();
  EXPECT_EQ(port.sent.size(), 5U);
  EXPECT_EQ(port.sent[4][0], 4);
  EXPECT_EQ(bench.next_used(kTransmit), (Used{4, 0}));
  EXPECT_TRUE(bench.line.level);
}

TEST_P(VirtioNetTest, AFrameIsReceived) {
  const Frame frame = frame_of(64, 5);
  give_buffer(7);
  bench.notify(kReceive);
  EXPECT_FALSE(bench.next_used(kReceive));
  port.waiting.push_back(frame);
  change();
  EXPECT_EQ(bench.next_used(kReceive), (Used{7, header_bytes() + 64}));
  EXPECT_EQ(ram(buffer(7) + header_bytes(), 64), frame);
  Frame header(header_bytes());
  if (GetParam() == Interface::Modern) header[10] = 1;
  EXPECT_EQ(ram(buffer(7), header_bytes()), header);
  EXPECT_TRUE(bench.line.level);
  EXPECT_TRUE(port.waiting.empty());
}

TEST_P(VirtioNetTest, WithoutBuffersFramesStayInThePort) {
  for (uint8_t i = 0; i < 4; ++i) port.waiting.push_back(frame_of(30, i));
  change();
  EXPECT_EQ(port.waiting.size(), 4U);
  EXPECT_FALSE(bench.line.level);
  give_buffer(0);
  give_buffer(1);
  bench.notify(kReceive);
  EXPECT_EQ(port.waiting.size(), 2U);
  EXPECT_EQ(bench.next_used(kReceive), (Used{0, header_bytes() + 30}));
  EXPECT_EQ(bench.next_used(kReceive), (Used{1, header_bytes() + 30}));
  EXPECT_EQ(bench.memory.bytes[buffer(1) + header_bytes()], 1);
}

TEST_P(VirtioNetTest, ABufferThatIsTooSmallBreaksIt) {
  give_buffer(0, header_bytes() + 29);
  port.waiting.push_back(frame_of(30, 0));
  change();
  EXPECT_TRUE(bench.needs_reset());
  EXPECT_EQ(port.waiting.size(), 1U);
  bench.start(GetParam(), kPlain);
  give_buffer(0);
  bench.notify(kReceive);
  EXPECT_TRUE(bench.next_used(kReceive));
}

TEST_P(VirtioNetTest, ChainsOfTheWrongKindBreakIt) {
  bench.add(kReceive, 0, {{0x80000, 12, false}, {0x81000, 2000, true}});
  port.waiting.push_back(frame_of(30, 0));
  bench.notify(kReceive);
  EXPECT_TRUE(bench.needs_reset());
  bench.start(GetParam(), kPlain);
  bench.add(kTransmit, 0, {{0x80000, header_bytes() - 1, false}});
  bench.notify(kTransmit);
  EXPECT_TRUE(bench.needs_reset());
}

TEST_P(VirtioNetTest, APortMayAnswerFromWithinACall) {
  port.loops = true;
  for (uint16_t i = 0; i < 3; ++i) {
    give_buffer(i);
    transmit(static_cast<uint16_t>(2 * i), frame_of(60, static_cast<uint8_t>(i)));
  }
  bench.notify(kTransmit);
  bench.clock.run_due();
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(bench.next_used(kTransmit), (Used{2 * i, 0}));
    EXPECT_EQ(bench.next_used(kReceive), (Used{i, header_bytes() + 60}));
    EXPECT_EQ(ram(buffer(i) + header_bytes(), 60), frame_of(60, static_cast<uint8_t>(i)));
  }
}

TEST_P(VirtioNetTest, BeforeADriverIsThereNothingMoves) {
  bench.set_status(GetParam(), 0);
  port.waiting.push_back(frame_of(30, 0));
  change();
  EXPECT_EQ(port.waiting.size(), 1U);
}

TEST_P(VirtioNetTest, NoCallMovesMoreThanAQueueOfFrames) {
  for (int i = 0; i < 256; ++i) {
    give_buffer(static_cast<uint16_t>(i % 128));
    port.waiting.push_back(frame_of(1500, 0));
  }
  bench.notify(kReceive);
  EXPECT_EQ(port.waiting.size(), 0U);
  for (int i = 0; i < 256; ++i) EXPECT_TRUE(bench.next_used(kReceive));
  bench.clock.advance(1);
  EXPECT_FALSE(bench.clock.next_deadline());
}

}  // namespace
}  // namespace ringshift

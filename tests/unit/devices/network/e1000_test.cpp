// An 82540EM by its registers: identity, EEPROM, transceiver, interrupts, both rings.
#include <zlib.h>

#include "tests/unit/devices/network/e1000_test_support.h"

namespace ringshift {
namespace {

using namespace e1000;

class E1000Test : public ::testing::Test {
 protected:
  uint32_t phy(unsigned number) {
    bench.set(kMdic, 2U << 26 | 1U << 21 | number << 16);
    return bench.get(kMdic);
  }
  // A word as a driver shifts it out of the memory.
  uint16_t shifted_word(unsigned at) {
    const auto wires = [&](uint32_t data, uint32_t clock) {
      bench.set(kEecd, 1U << 6 | 2 | (data != 0 ? 4U : 0U) | clock);
    };
    bench.set(kEecd, 1U << 6);
    wires(0, 0);
    const uint32_t command = 6U << 6 | at;
    for (unsigned bit = 9; bit > 0; --bit) {
      const uint32_t data = command >> (bit - 1) & 1;
      wires(data, 0);
      wires(data, 1);
      wires(data, 0);
    }
    uint32_t word = 0;
    for (unsigned bit = 0; bit < 16; ++bit) {
      wires(0, 1);
      word = word << 1 | (bench.get(kEecd) >> 3 & 1);
      wires(0, 0);
    }
    bench.set(kEecd, 0);
    return static_cast<uint16_t>(word);
  }
  E1000Bench bench;
};

TEST_F(E1000Test, IdentityIsAn82540EM) {
  EXPECT_EQ(bench.card.read_config(0, AccessWidth::Dword), 0x100e8086U);
  EXPECT_EQ(bench.card.read_config(8, AccessWidth::Dword) >> 8, 0x020000U);
}

TEST_F(E1000Test, EepromHasTheAddressAndASum) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < 64; ++i) {
    bench.set(kEerd, i << 8 | 1);
    const uint32_t answer = bench.get(kEerd);
    EXPECT_NE(answer & 0x10, 0U);
    EXPECT_EQ(shifted_word(i), answer >> 16) << "word " << i;
    sum += answer >> 16;
  }
  EXPECT_EQ(sum & 0xffff, 0xbabaU);
  EXPECT_EQ(shifted_word(0), 0x5452);
  EXPECT_EQ(shifted_word(2), 0x5634);
  EXPECT_EQ(bench.get(kRal), 0x12005452U);
  EXPECT_EQ(bench.get(kRah), 0x80005634U);
}

TEST_F(E1000Test, EepromIsGrantedOnRequest) {
  bench.set(kEecd, 1U << 6);
  EXPECT_NE(bench.get(kEecd) & 1U << 7, 0U);
  bench.set(kEecd, 0);
  EXPECT_EQ(bench.get(kEecd) & 1U << 7, 0U);
}

TEST_F(E1000Test, TransceiverTellsOfItsLink) {
  EXPECT_EQ(phy(2) & 0xffff, 0x0141U);
  EXPECT_NE(phy(1) & 4, 0U);
  EXPECT_NE(bench.get(kStatusRegister) & kLinkUp, 0U);
  bench.port.up = false;
  bench.port.change();
  EXPECT_EQ(phy(1) & 4, 0U);
  EXPECT_EQ(bench.get(kStatusRegister) & kLinkUp, 0U);
  EXPECT_NE(bench.get(kIcr) & kLinkChange, 0U);
}

TEST_F(E1000Test, NobodyIsAtOtherAddressesOfTheTransceiver) {
  bench.set(kMdic, 2U << 26 | 5U << 21 | 2U << 16);
  EXPECT_NE(bench.get(kMdic) & 1U << 30, 0U);
}

TEST_F(E1000Test, CausesWaitForTheMaskAndAreReadOnce) {
  bench.set(kIcs, kTxWrittenBack);
  EXPECT_FALSE(bench.line.level);
  bench.set(kIms, kTxWrittenBack);
  EXPECT_TRUE(bench.line.level);
  EXPECT_EQ(bench.get(kIcr), kTxWrittenBack);
  EXPECT_FALSE(bench.line.level);
  EXPECT_EQ(bench.get(kIcr), 0U);
  bench.set(kImc, kTxWrittenBack);
  bench.set(kIcs, kTxWrittenBack);
  EXPECT_FALSE(bench.line.level);
}

TEST_F(E1000Test, InterruptsKeepTheirDistance) {
  bench.set(kItr, 1000);  // 256 microseconds
  bench.set(kIms, kAllCauses);
  bench.set(kIcs, kRxTimer);
  EXPECT_TRUE(bench.line.level);
  (void)bench.get(kIcr);
  bench.set(kIcs, kRxTimer);
  EXPECT_FALSE(bench.line.level);
  bench.clock.advance(255'999);
  EXPECT_FALSE(bench.line.level);
  bench.clock.advance(1);
  EXPECT_TRUE(bench.line.level);
}

TEST_F(E1000Test, RegistersAreReachedByPortsToo) {
  bench.ports.write(kCardPorts, AccessWidth::Dword, kVet);
  bench.ports.write(kCardPorts + 4, AccessWidth::Dword, 0x8100);
  EXPECT_EQ(bench.get(kVet), 0x8100U);
  EXPECT_EQ(bench.ports.read(kCardPorts + 4, AccessWidth::Dword), 0x8100U);
}

TEST_F(E1000Test, ResetForgetsTheDriver) {
  bench.start();
  bench.set(kIcs, kRxTimer);
  bench.set(kCtrl, kReset);
  EXPECT_EQ(bench.get(kRctl), 0U);
  EXPECT_EQ(bench.get(kIms), 0U);
  EXPECT_EQ(bench.get(kTdlen), 0U);
  EXPECT_FALSE(bench.line.level);
  EXPECT_EQ(bench.get(kRah), 0x80005634U);
}

// ---- sending ----

TEST_F(E1000Test, AFrameOfALegacyDescriptorIsSent) {
  bench.start();
  const Frame frame = bench.frame_of(100);
  bench.write(0x8000, frame);
  bench.describe(0, 0x8000, 100 | kEop | kIfcs | kRs, 0);
  bench.set(kTdt, 1);
  ASSERT_EQ(bench.port.sent.size(), 1U);
  EXPECT_EQ(bench.port.sent[0], frame);
  EXPECT_EQ(bench.number(kTxRing + 12, 1) & 1, 1U);
  EXPECT_EQ(bench.get(kTdh), 1U);
  EXPECT_EQ(bench.get(kIcr) & (kTxWrittenBack | kTxQueueEmpty), kTxWrittenBack | kTxQueueEmpty);
  EXPECT_EQ(bench.get(kGptc), 1U);
  EXPECT_EQ(bench.get(kGptc), 0U);
}

TEST_F(E1000Test, AFrameMayBeInPieces) {
  bench.start();
  const Frame frame = bench.frame_of(300);
  bench.write(0x8000, frame);
  bench.describe(0, 0x8000, 20, 0);
  bench.describe(1, 0x8000 + 20, 280 | kEop, 0);
  bench.set(kTdt, 2);
  ASSERT_EQ(bench.port.sent.size(), 1U);
  EXPECT_EQ(bench.port.sent[0], frame);
  EXPECT_EQ(bench.number(kTxRing + 12, 1) & 1, 0U);  // nobody wants to hear
}

TEST_F(E1000Test, WithoutRoomDescriptorsWait) {
  bench.start();
  bench.port.room = 1;
  bench.write(0x8000, bench.frame_of(60));
  for (unsigned i = 0; i < 4; ++i) bench.describe(i, 0x8000, 60 | kEop | kRs, 0);
  bench.set(kTdt, 4);
  EXPECT_EQ(bench.port.sent.size(), 1U);
  bench.port.room = 1000;
  bench.port.change();
  bench.clock.run_due();
  EXPECT_EQ(bench.port.sent.size(), 4U);
}

TEST_F(E1000Test, FramesOfNoEthernetGoNowhere) {
  bench.start();
  bench.describe(0, 0x8000, 13 | kEop, 0);
  bench.describe(1, 0x8000, 1519 | kEop, 0);
  bench.describe(2, 0x8000, 0 | kEop, 0);
  bench.set(kTdt, 3);
  EXPECT_TRUE(bench.port.sent.empty());
  EXPECT_EQ(bench.get(kTdh), 3U);
}

TEST_F(E1000Test, ALegacyDescriptorAsksForASum) {
  bench.start();
  Frame frame(64, 0);
  frame[20] = 0x12;
  frame[21] = 0x34;
  bench.write(0x8000, frame);
  bench.describe(0, 0x8000, 64 | 40U << 16 | kEop | kSumOrSegment, 20U << 8);
  bench.set(kTdt, 1);
  ASSERT_EQ(bench.port.sent.size(), 1U);
  EXPECT_EQ(bench.port.sent[0][40], 0xed);  // the complement of 0x1234
  EXPECT_EQ(bench.port.sent[0][41], 0xcb);
}

uint16_t sum_over(const Frame& frame, size_t from, size_t to, uint32_t start = 0) {
  uint32_t sum = start;
  for (size_t i = from; i < to; i += 2) {
    sum += static_cast<uint32_t>(frame[i] << 8 | (i + 1 < to ? frame[i + 1] : 0));
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Ethernet, IPv4 (at 14), TCP (at 34), 3,000 bytes; in segments of 1,000.
TEST_F(E1000Test, ALongPacketIsCutIntoSegments) {
  bench.start();
  constexpr uint32_t kHeader = 54, kPayload = 3000, kMss = 1000;
  Frame packet(kHeader + kPayload, 0);
  packet[12] = 8;
  packet[14] = 0x45;
  packet[18] = 0x12;  // number 0x12ff
  packet[19] = 0xff;
  packet[23] = 6;
  packet[38] = 0xff;  // sequence 0xfffffff0
  packet[39] = packet[40] = 0xff;
  packet[41] = 0xf0;
  packet[46] = 0x50;
  packet[47] = 0x19;  // ACK, PSH, FIN
  packet[50] = 0x00;  // the pseudo header's sum without a length: the protocol
  packet[51] = 0x06;
  for (uint32_t i = 0; i < kPayload; ++i) packet[kHeader + i] = static_cast<uint8_t>(i * 7);
  bench.write(0x8000, packet);
  // Context: IP from 14 with its sum at 24 to 33, TCP from 34 with its sum at 50.
  bench.describe(0, 14 | 24U << 8 | 33U << 16 | uint64_t{34 | 50U << 8} << 32,
                 kPayload | kDext | 7U << 24, kHeader << 8 | kMss << 16);
  bench.describe(1, 0x8000, kHeader | kDataType | kDext | kSumOrSegment, 3U << 8);
  bench.describe(2, 0x8000 + kHeader, kPayload | kDataType | kDext | kSumOrSegment | kEop | kRs, 0);
  bench.set(kTdt, 3);
  ASSERT_EQ(bench.port.sent.size(), 3U);
  for (uint32_t i = 0; i < 3; ++i) {
    const Frame& frame = bench.port.sent[i];
    ASSERT_EQ(frame.size(), kHeader + kMss);
    EXPECT_TRUE(
        std::equal(frame.begin() + kHeader, frame.end(), packet.begin() + kHeader + i * kMss));
    EXPECT_EQ(frame[16] << 8 | frame[17], 1040);
    EXPECT_EQ(frame[18] << 8 | frame[19], (0x12ff + static_cast<int>(i)) & 0xffff);
    const uint32_t sequence = uint32_t{frame[38]} << 24 | uint32_t{frame[39]} << 16 |
                              uint32_t{frame[40]} << 8 | frame[41];
    EXPECT_EQ(sequence, 0xfffffff0U + i * kMss);
    EXPECT_EQ(frame[47], i == 2 ? 0x19 : 0x10);
    EXPECT_EQ(sum_over(frame, 14, 34), 0xffff);
    // Protocol 6 and the length, with addresses of zero.
    EXPECT_EQ(sum_over(frame, 34, frame.size(), 6 + 1020), 0xffff);
  }
}

// As above, of 60,000 bytes; what is no TCP, or more than a length can say, is cut all the same.
TEST_F(E1000Test, APortThatTakesItGetsALongPacketWhole) {
  bench.port.large = true;
  bench.start();
  constexpr uint32_t kHeader = 54, kTcp = 1U << 24, kIpv4 = 2U << 24, kSegment = 4U << 24;
  const auto send = [&](uint32_t payload, uint32_t kinds, uint32_t pieces) {
    bench.port.sent.clear();
    bench.write(0x8000, Frame(kHeader, 0));
    bench.memory.bytes[0x8000 + 14] = 0x45;
    bench.memory.bytes[0x8000 + 51] = 6;
    bench.describe(0, 14 | 24U << 8 | 33U << 16 | uint64_t{34 | 50U << 8} << 32,
                   (payload & 0xfffff) | kDext | kinds | kSegment, kHeader << 8 | 1000U << 16);
    bench.describe(1, 0x8000, kHeader | kDataType | kDext | kSumOrSegment, 3U << 8);
    for (uint32_t i = 0; i < pieces; ++i) {
      bench.describe(
          2 + i, 0x8000,
          payload / pieces | kDataType | kDext | kSumOrSegment | (i + 1 == pieces ? kEop : 0), 0);
    }
    bench.set(kTdh, 0);
    bench.set(kTdt, 2 + pieces);
  };
  send(60'000, kTcp | kIpv4, 1);
  ASSERT_EQ(bench.port.sent.size(), 1U);
  const Frame& frame = bench.port.sent[0];
  ASSERT_EQ(frame.size(), kHeader + 60'000);
  EXPECT_EQ(frame[16] << 8 | frame[17], 60'040);
  EXPECT_EQ(sum_over(frame, 14, 34), 0xffff);
  EXPECT_EQ(sum_over(frame, 34, frame.size(), 6 + 60'020), 0xffff);
  send(60'000, kIpv4, 1);
  EXPECT_EQ(bench.port.sent.size(), 60U);
  send(65'600, kTcp | kIpv4, 2);
  EXPECT_EQ(bench.port.sent.size(), 66U);
}

TEST_F(E1000Test, SegmentsWaitForRoomInTheMiddle) {
  bench.start();
  bench.port.room = 1;
  bench.describe(0, 0, 200 | kDext | 4U << 24, 14U << 8 | 100U << 16);
  bench.describe(1, 0x8000, 214 | kDataType | kDext | kSumOrSegment | kEop, 0);
  bench.set(kTdt, 2);
  EXPECT_EQ(bench.port.sent.size(), 1U);
  bench.port.room = 1000;
  bench.port.change();
  bench.clock.run_due();
  ASSERT_EQ(bench.port.sent.size(), 2U);
  EXPECT_EQ(bench.port.sent[1].size(), 114U);
}

TEST_F(E1000Test, ContextsThatMakeNoSenseSendNothing) {
  bench.start();
  bench.describe(0, ~uint64_t{0}, kDext, 0);  // segments of no bytes, places outside of everything
  bench.describe(1, 0x8000, 200 | kDataType | kDext | kSumOrSegment | kEop, 3U << 8);
  bench.describe(2, ~uint64_t{0}, kDext | 0xffffU, 200U << 8 | 1U << 16);
  bench.describe(3, 0x8000, 100 | kDataType | kDext | kSumOrSegment | kEop, 3U << 8);
  bench.set(kTdt, 4);
  EXPECT_TRUE(bench.port.sent.empty());
  EXPECT_EQ(bench.get(kTdh), 4U);
}

TEST_F(E1000Test, APacketWithoutEndIsBounded) {
  bench.start();
  for (unsigned i = 0; i < kRingEntries; ++i) {
    bench.describe(i, 0, 0xfffff | kDataType | kDext, 0);
  }
  for (unsigned i = 1; i <= 64; ++i) {
    bench.set(kTdt, i % kRingEntries);
    bench.clock.advance(1);
  }
  bench.describe(0, 0x8000, 60 | kEop, 0);
  EXPECT_TRUE(bench.port.sent.empty());
}

TEST_F(E1000Test, ATagIsPutInWhereItIsWanted) {
  bench.start();
  bench.set(kVet, 0x8100);
  bench.set(kCtrl, bench.get(kCtrl) | kVlanMode);
  const Frame frame = bench.frame_of(60);
  bench.write(0x8000, frame);
  bench.describe(0, 0x8000, 60 | kEop | kVle, 0x0123U << 16);
  bench.set(kTdt, 1);
  ASSERT_EQ(bench.port.sent.size(), 1U);
  EXPECT_EQ(bench.port.sent[0].size(), 64U);
  EXPECT_EQ(Frame(bench.port.sent[0].begin() + 12, bench.port.sent[0].begin() + 16),
            (Frame{0x81, 0x00, 0x01, 0x23}));
}

// ---- receiving ----

TEST_F(E1000Test, AFrameIsReceived) {
  bench.start();
  const Frame frame = bench.frame_of(200, 5);
  bench.come(frame);
  EXPECT_EQ(bench.ram(bench.buffer(0), 200), frame);
  EXPECT_EQ(bench.number(kRxRing + 8, 2), 200U);
  EXPECT_EQ(bench.number(kRxRing + 12, 1) & 3, 3U);
  EXPECT_EQ(bench.get(kRdh), 1U);
  EXPECT_TRUE(bench.line.level);
  EXPECT_NE(bench.get(kIcr) & kRxTimer, 0U);
  EXPECT_EQ(bench.get(kGprc), 1U);
}

TEST_F(E1000Test, AShortFrameIsAsLongAsOnAWireAndHasItsSequence) {
  bench.start();
  bench.set(kRctl, kRxEnable | kTakeBroadcast);
  Frame frame = bench.frame_of(20, 5);
  bench.come(frame);
  frame.resize(60);
  const auto sequence = static_cast<uint32_t>(crc32(0, frame.data(), 60));
  EXPECT_EQ(bench.number(kRxRing + 8, 2), 64U);
  EXPECT_EQ(bench.ram(bench.buffer(0), 60), frame);
  EXPECT_EQ(bench.number(bench.buffer(0) + 60, 4), sequence);
}

TEST_F(E1000Test, SmallBuffersTakeAFrameInPieces) {
  bench.start();
  bench.set(kRctl, kRxEnable | kTakeBroadcast | kStripCrc | 3U << 16);  // 256 bytes
  const Frame frame = bench.frame_of(600, 5);
  bench.come(frame);
  EXPECT_EQ(bench.number(kRxRing + 8, 2), 256U);
  EXPECT_EQ(bench.number(kRxRing + 12, 1) & 3, 1U);
  EXPECT_EQ(bench.number(kRxRing + 16 * 2 + 8, 2), 88U);
  EXPECT_EQ(bench.number(kRxRing + 16 * 2 + 12, 1) & 3, 3U);
  EXPECT_EQ(bench.get(kRdh), 3U);
}

TEST_F(E1000Test, WithoutDescriptorsFramesStayInThePort) {
  bench.start();
  for (uint8_t i = 0; i < 10; ++i) bench.come(bench.frame_of(60, i));
  EXPECT_EQ(bench.port.waiting.size(), 3U);  // seven of eight are the card's
  bench.set(kRdt, 2);
  EXPECT_EQ(bench.port.waiting.size(), 0U);
  EXPECT_NE(bench.get(kIcr) & kRxLow, 0U);
}

TEST_F(E1000Test, OnlyFramesForItArePassed) {
  bench.start();
  const auto passes = [&](MacAddress to) {
    const uint32_t before = bench.get(kRdh);
    Frame frame = bench.frame_of(60);
    std::copy(to.begin(), to.end(), frame.begin());
    bench.come(frame);
    EXPECT_TRUE(bench.port.waiting.empty());
    const bool passed = bench.get(kRdh) != before;
    bench.set(kRdt, (bench.get(kRdh) + kRingEntries - 1) % kRingEntries);
    return passed;
  };
  const MacAddress group{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
  EXPECT_TRUE(passes(kCardAddress));
  EXPECT_FALSE(passes({0x52, 0x54, 0, 0, 0, 1}));
  EXPECT_TRUE(passes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(passes(group));
  bench.set(kMta + 4 * (0x0100 >> 4 >> 5), 1U << (0x0100 >> 4 & 31));  // bits 47 to 36
  EXPECT_TRUE(passes(group));
  bench.set(kMta + 4 * (0x0100 >> 4 >> 5), 0);
  bench.set(kRctl, bench.get(kRctl) | kAllMulticast);
  EXPECT_TRUE(passes(group));
  bench.set(kRctl, bench.get(kRctl) | kAllUnicast);
  EXPECT_TRUE(passes({0x52, 0x54, 0, 0, 0, 1}));
}

TEST_F(E1000Test, ATagIsTakenOutWhereItIsNotWanted) {
  bench.start();
  bench.set(kVet, 0x8100);
  bench.set(kCtrl, bench.get(kCtrl) | kVlanMode);
  Frame frame = bench.frame_of(100);
  frame[12] = 0x81;
  frame[13] = 0;
  frame[14] = 0x01;
  frame[15] = 0x23;
  bench.come(frame);
  EXPECT_EQ(bench.number(kRxRing + 8, 2), 96U);
  EXPECT_EQ(bench.number(kRxRing + 12, 1) & 8, 8U);
  EXPECT_EQ(bench.number(kRxRing + 14, 2), 0x0123U);
  frame.erase(frame.begin() + 12, frame.begin() + 16);
  EXPECT_EQ(bench.ram(bench.buffer(0), 96), frame);
}

TEST_F(E1000Test, RingsOfAnySizeAndPlaceAreSurvived) {
  bench.start();
  for (const uint32_t length : {0U, 16U, 128U, 0xffffffffU}) {
    for (const uint32_t place : {0U, 0xffffU, 0x7fU}) {
      bench.set(kTdlen, length);
      bench.set(kRdlen, length);
      bench.set(kTdh, place);
      bench.set(kRdh, place);
      bench.set(kTdbal, 0xfffffff0);
      bench.set(kTdbah, 0xffffffff);
      bench.set(kRdbal, 0xfffffff0);
      bench.set(kTdt, place + 3);
      bench.set(kRdt, place + 3);
      bench.come(bench.frame_of(60));
    }
  }
  SUCCEED();
}

TEST_F(E1000Test, NothingMovesForACardThatIsNoBusMaster) {
  bench.start();
  bench.card.write_config(0x04, AccessWidth::Word, 3);
  bench.come(bench.frame_of(60));
  EXPECT_EQ(bench.port.waiting.size(), 1U);
}

}  // namespace
}  // namespace ringshift

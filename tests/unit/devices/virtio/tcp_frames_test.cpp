// Frames of TCP that are found, summed, cut and joined; and those that are none.
#include "devices/virtio/tcp_frames.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/unit/devices/virtio/tcp_test_support.h"

namespace ringshift {
namespace {

using Frame = std::vector<uint8_t>;

class TcpFrames : public ::testing::TestWithParam<bool> {
 protected:
  TcpFrames() { what.is_ipv6 = GetParam(); }
  TcpFrame what;
};
INSTANTIATE_TEST_SUITE_P(Both, TcpFrames, ::testing::Values(false, true),
                         [](const auto& given) { return given.param ? "Ipv6" : "Ipv4"; });

TEST_P(TcpFrames, PlacesAndSums) {
  what.options = {1, 1, 1, 0};
  for (const size_t payload : std::array<size_t, 6>{0, 1, 2, 3, 99, 1400}) {
    what.payload = payload;
    Frame frame = make_frame(what);
    const auto places = find_tcp(frame, LengthFrom::Header);
    ASSERT_TRUE(places);
    EXPECT_EQ(places->payload, header_bytes(what));
    EXPECT_EQ(places->end, frame.size());
    EXPECT_TRUE(has_good_sums(frame, *places));
    for (const size_t at : {places->ip + 16, places->tcp + 1, frame.size() - 1}) {
      frame[at] ^= 4;
      EXPECT_FALSE(has_good_sums(frame, *places)) << at;
      frame[at] ^= 4;
    }
  }
}

TEST_P(TcpFrames, PaddingIsNoPayload) {
  what.payload = 0;
  Frame frame = make_frame(what);
  const size_t bytes = frame.size();
  frame.resize(bytes + 6, 0xee);
  const auto places = find_tcp(frame, LengthFrom::Header);
  ASSERT_TRUE(places);
  EXPECT_EQ(places->end, bytes);
  EXPECT_TRUE(has_good_sums(frame, *places));
  EXPECT_EQ(find_tcp(frame, LengthFrom::Frame)->end, frame.size());
}

TEST_P(TcpFrames, WhatIsNotWholeIsNone) {
  what.payload = 0;
  const Frame frame = make_frame(what);
  for (size_t bytes = 0; bytes < frame.size(); ++bytes) {
    const auto part = std::span(frame).first(bytes);
    EXPECT_FALSE(find_tcp(part, LengthFrom::Header)) << bytes;
    EXPECT_FALSE(find_tcp(part, LengthFrom::Frame)) << bytes;
  }
}

TEST_P(TcpFrames, OtherProtocolsAndWrongHeadersAreNone) {
  const Frame good = make_frame(what);
  const size_t ip = 14, tcp = ip + ip_bytes(what);
  struct ChangedByte {
    size_t at;
    uint8_t value;
  };
  std::vector<ChangedByte> changes{{12, 0x81}, {ip, 0x55}, {tcp + 12, 0x40}, {tcp + 12, 0xf0}};
  if (GetParam()) {
    changes.insert(changes.end(), {{ip + 6, 17}, {ip + 4, 0x40}, {ip + 5, 19}});
  } else {
    changes.insert(
        changes.end(),
        {{ip + 9, 17}, {ip + 6, 0x20}, {ip + 7, 1}, {ip, 0x44}, {ip + 2, 0x40}, {ip + 3, 39}});
  }
  what.payload = 10;
  for (const ChangedByte& change : changes) {
    Frame frame = make_frame(what);
    frame[change.at] = change.value;
    EXPECT_FALSE(find_tcp(frame, LengthFrom::Header)) << change.at;
  }
  EXPECT_TRUE(find_tcp(good, LengthFrom::Header));
}

TEST_P(TcpFrames, ACutPacketIsWhatWouldHaveBeenSent) {
  what.payload = 2500;
  what.flags = 0x80 | 0x10 | 0x08 | 0x01;  // CWR, ACK, PSH, FIN
  what.sequence = 0xfffffe00;
  what.number = 0xffff;
  Frame packet = make_frame(what);
  packet[14 + 2] = packet[14 + 4] = 0xab;  // a large packet's lengths are not looked at
  if (!GetParam()) packet[14 + 4] = 0xff;  // which is the number there
  const auto places = find_tcp(packet, LengthFrom::Frame);
  ASSERT_TRUE(places);
  TcpCutter cutter(packet, *places, 1000);
  TcpFrame part = what;
  const uint8_t flags[] = {0x90, 0x10, 0x19};
  for (unsigned i = 0; i < 3; ++i) {
    ASSERT_TRUE(cutter.has_more());
    part.payload = i == 2 ? 500 : 1000;
    part.first = static_cast<uint8_t>(1000 * i);
    part.sequence = what.sequence + 1000 * i;
    part.number = static_cast<uint16_t>(what.number + i);
    part.flags = flags[i];
    Frame wanted = make_frame(part);
    if (GetParam()) wanted[14 + 2] = 0xab;  // the flow label stays as it was
    const auto got = cutter.next();
    EXPECT_EQ(Frame(got.begin(), got.end()), wanted) << i;
  }
  EXPECT_FALSE(cutter.has_more());
}

TEST_P(TcpFrames, APacketThatStaysWholeIsCompleted) {
  what.payload = 40'000;
  const Frame wanted = make_frame(what);
  Frame packet = wanted;
  const auto places = find_tcp(packet, LengthFrom::Frame);
  ASSERT_TRUE(places);
  put_wide(packet, places->tcp + 16, 0x1234, 2);
  put_wide(packet, GetParam() ? places->ip + 4 : places->ip + 2, 0, 2);
  complete_packet(packet, *places);
  EXPECT_EQ(packet, wanted);
}

TEST_P(TcpFrames, FramesThatFollowAreJoined) {
  TcpTrain train;
  train.begin(make_frame(what));
  ASSERT_TRUE(train.can_grow());
  EXPECT_TRUE(train.is_valid());
  TcpFrame next = what;
  for (unsigned i = 1; i < 4; ++i) {
    next.sequence += 100;
    next.number = static_cast<uint16_t>(next.number + 1);
    next.first = static_cast<uint8_t>(next.first + 100);
    next.window = static_cast<uint16_t>(400 + i);
    if (i == 3) next.flags = 0x18;
    EXPECT_TRUE(train.add(make_frame(next), 60'000)) << i;
  }
  EXPECT_FALSE(train.can_grow());  // the last one pushed
  train.finish();
  what.payload = 400;
  what.flags = 0x18;
  what.window = 403;
  Frame wanted = make_frame(what);
  const size_t tcp = 14 + ip_bytes(what);
  put_wide(wanted, tcp + 16, pseudo_sum_of(wanted, GetParam(), tcp), 2);
  EXPECT_EQ(Frame(train.bytes().begin(), train.bytes().end()), wanted);
  EXPECT_TRUE(train.is_several());
  EXPECT_EQ(train.segment_bytes(), 100U);
}

TEST_P(TcpFrames, WhatDoesNotFollowIsNotJoined) {
  what.options = {1, 1, 1, 1};
  TcpFrame next = what;
  next.sequence += 100;
  const auto refuses = [&](const TcpFrame& one, size_t most = 60'000) {
    TcpTrain train;
    train.begin(make_frame(what));
    const Frame before(train.bytes().begin(), train.bytes().end());
    const bool is_added = train.add(make_frame(one), most);
    return !is_added && before == Frame(train.bytes().begin(), train.bytes().end());
  };
  EXPECT_FALSE(refuses(next));
  EXPECT_TRUE(refuses(next, header_bytes(what) + 199));
  TcpFrame one = next;
  one.sequence += 1;
  EXPECT_TRUE(refuses(one));
  one = next;
  one.acknowledged += 1;
  EXPECT_TRUE(refuses(one));
  one = next;
  one.hops -= 1;
  EXPECT_TRUE(refuses(one));
  one = next;
  one.payload = 101;
  EXPECT_TRUE(refuses(one));
  one.payload = 0;
  EXPECT_TRUE(refuses(one));
  for (const uint8_t flags : std::array<uint8_t, 5>{0x11, 0x14, 0x12, 0x30, 0x00}) {
    one = next;
    one.flags = flags;
    EXPECT_TRUE(refuses(one)) << unsigned{flags};
  }
  one = next;
  one.options = {1, 1, 1, 0};
  EXPECT_TRUE(refuses(one));
  one.options = {1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_TRUE(refuses(one));
  TcpTrain train;
  train.begin(make_frame(what));
  Frame wrong = make_frame(next);
  wrong.back() ^= 1;  // its sum is wrong now
  EXPECT_FALSE(train.add(wrong, 60'000));
  wrong.back() ^= 1;
  wrong[0] ^= 2;  // for another card
  EXPECT_FALSE(train.add(wrong, 60'000));
}

TEST_P(TcpFrames, SomeAreNobodysFirst) {
  TcpTrain train;
  for (const uint8_t flags : std::array<uint8_t, 3>{0x18, 0x02, 0x11}) {
    TcpFrame one = what;
    one.flags = flags;
    train.begin(make_frame(one));
    EXPECT_FALSE(train.can_grow()) << unsigned{flags};
    EXPECT_TRUE(train.is_valid());
  }
  TcpFrame small = what;
  small.payload = kLeastSegment - 1;
  train.begin(make_frame(small));
  EXPECT_FALSE(train.can_grow());
  Frame wrong = make_frame(what);
  wrong.back() ^= 1;
  train.begin(wrong);
  EXPECT_FALSE(train.can_grow());
  EXPECT_FALSE(train.is_valid());
  train.begin(Frame(60, 1));
  EXPECT_FALSE(train.can_grow());
  EXPECT_FALSE(train.is_several());
}

TEST_P(TcpFrames, ATrainIsNoLongerThanALengthCanSay) {
  what.payload = 1400;
  TcpTrain train;
  train.begin(make_frame(what));
  for (unsigned i = 0; i < 100; ++i) {
    what.sequence += 1400;
    if (!train.add(make_frame(what), 1'000'000)) break;
  }
  train.finish();
  EXPECT_LE(train.bytes().size(), 14U + 65'535U);
  EXPECT_GT(train.bytes().size(), 14U + 65'535U - 1400U);
  EXPECT_TRUE(find_tcp(train.bytes(), LengthFrom::Header));
}

TEST(CompleteSum, IsThatOfTheRestOfTheFrame) {
  Frame frame(41, 0x11);
  ASSERT_TRUE(complete_sum(frame, 20, 26));
  EXPECT_EQ(plain_sum(std::span(frame).subspan(20)), 0xeeeeU);  // what was there is part of it
  EXPECT_FALSE(complete_sum(frame, 41, 41));
  EXPECT_FALSE(complete_sum(frame, 10, 40));
  EXPECT_FALSE(complete_sum(frame, 10, 9));
  EXPECT_TRUE(complete_sum(frame, 10, 39));
  Frame ones(24, 0xff);
  ASSERT_TRUE(complete_sum(ones, 20, 22));
  EXPECT_EQ(ones[22] << 8 | ones[23], 0xffff);
}

}  // namespace
}  // namespace ringshift

// The guest's half of a port: its view depends on its inputs alone, no matter how they are made.
#include "monitor/network/guest_packets.h"

#include <gtest/gtest.h>

#include <vector>

#include "monitor/network/frame_stream.h"

namespace ringshift {
namespace {

using Frame = std::vector<uint8_t>;

Frame framed(const std::vector<Frame>& frames) {
  Frame bytes;
  for (const Frame& frame : frames) append_frame(frame, &bytes);
  return bytes;
}

TEST(GuestPackets, FramesComeInOrderAndStayUntilTheyAreTaken) {
  GuestPackets packets;
  int changes = 0;
  packets.set_on_change([&] { ++changes; });
  packets.take_in(GuestPackets::frames_input(framed({Frame(60, 1), Frame(1518, 2)})));
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(packets.received().size(), 60U);
  packets.take_received();
  EXPECT_EQ(packets.received().size(), 1518U);
  packets.take_received();
  EXPECT_TRUE(packets.received().empty());
}

TEST(GuestPackets, ThereIsRoomAgainWhenItIsTold) {
  GuestPackets packets;
  size_t sent = 0;
  while (packets.has_room()) {
    packets.send(Frame(1500, 1));
    sent += 1504;
  }
  EXPECT_GE(sent, GuestPackets::kMostOutgoing);
  packets.take_in(GuestPackets::room_input(0));
  EXPECT_FALSE(packets.has_room());
  packets.take_in(GuestPackets::room_input(3008));
  EXPECT_TRUE(packets.has_room());
  packets.take_in(GuestPackets::room_input(~0U));  // more than there ever was
  EXPECT_TRUE(packets.has_room());
}

TEST(GuestPackets, TheCableIsWhatItIsTold) {
  GuestPackets packets;
  EXPECT_TRUE(packets.is_up());
  packets.take_in(GuestPackets::link_input(false));
  EXPECT_FALSE(packets.is_up());
  packets.take_in(GuestPackets::link_input(true));
  EXPECT_TRUE(packets.is_up());
}

TEST(GuestPackets, TheHashIsOfAllThatWasSentInItsOrder) {
  GuestPackets one, same, other;
  for (GuestPackets* packets : {&one, &same}) {
    packets->send(Frame(60, 1));
    packets->send(Frame(60, 2));
  }
  other.send(Frame(60, 2));
  other.send(Frame(60, 1));
  EXPECT_EQ(one.sent_hash(), same.sent_hash());
  EXPECT_NE(one.sent_hash(), other.sent_hash());
  EXPECT_NE(one.sent_hash(), GuestPackets().sent_hash());
}

TEST(GuestPackets, InputsOfATapeAreChecked) {
  EXPECT_TRUE(GuestPackets::is_sound(GuestPackets::frames_input({})));
  EXPECT_TRUE(GuestPackets::is_sound(GuestPackets::frames_input(framed({Frame(14, 1)}))));
  EXPECT_TRUE(GuestPackets::is_sound(GuestPackets::room_input(5)));
  EXPECT_TRUE(GuestPackets::is_sound(GuestPackets::link_input(true)));
  EXPECT_FALSE(GuestPackets::is_sound(GuestPackets::frames_input(framed({Frame(13, 1)}))));
  EXPECT_FALSE(GuestPackets::is_sound(GuestPackets::frames_input(framed({Frame(1519, 1)}))));
  EXPECT_FALSE(GuestPackets::is_sound(GuestPackets::frames_input({0, 0})));
  EXPECT_FALSE(GuestPackets::is_sound(GuestPackets::frames_input({0, 0, 0, 14, 1})));
  EXPECT_FALSE(GuestPackets::is_sound({HostInput::Kind::NetworkRoom, 0, {1, 2, 3}}));
  EXPECT_FALSE(GuestPackets::is_sound({HostInput::Kind::NetworkLink, 0, {}}));
  EXPECT_FALSE(GuestPackets::is_sound({HostInput::Kind::NetworkLink, 0, {2}}));
  EXPECT_FALSE(GuestPackets::is_sound({HostInput::Kind::ConsoleBytes, 0, {1}}));
}

TEST(GuestPackets, AGuestThatTakesNothingIsGivenSoMuchAndNoMore) {
  GuestPackets packets;
  const Frame bytes = framed(std::vector<Frame>(40, Frame(1500, 1)));
  for (int i = 0; i < 1000; ++i) packets.take_in(GuestPackets::frames_input(bytes));
  size_t kept = 0;
  for (; !packets.received().empty(); packets.take_received()) kept += packets.received().size();
  EXPECT_LT(kept, 3 * GuestPackets::kMostReceived);
}

}  // namespace
}  // namespace ringshift

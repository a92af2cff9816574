// Packet: framing, byte by byte, of right and wrong packets.
#include "monitor/debug/gdb/packet.h"

#include <gtest/gtest.h>

#include <vector>

#include "monitor/debug/gdb/hex.h"

namespace ringshift::debug {
namespace {

std::vector<PacketEvent> events_of(PacketReader* reader, std::string_view bytes) {
  std::vector<PacketEvent> events;
  for (const char character : bytes) {
    if (const auto event = reader->take(static_cast<uint8_t>(character))) events.push_back(*event);
  }
  return events;
}

using Events = std::vector<PacketEvent>;

TEST(Packet, WhatIsFramedIsReadAgain) {
  PacketReader reader;
  const std::string payload("a$b#c}d*e\0f\xff", 11);
  const std::string framed_payload = framed(payload);
  EXPECT_EQ(events_of(&reader, framed_payload), Events{PacketEvent::Packet});
  EXPECT_EQ(reader.payload(), payload);
  EXPECT_EQ(framed("OK"), "$OK#9a");
}

TEST(Packet, AWrongChecksumOrNoneIsABadPacket) {
  PacketReader reader;
  EXPECT_EQ(events_of(&reader, "$OK#9b"), Events{PacketEvent::BadPacket});
  EXPECT_EQ(events_of(&reader, "$OK#xy"), Events{PacketEvent::BadPacket});
  EXPECT_EQ(events_of(&reader, "$OK#9a"), Events{PacketEvent::Packet});
}

TEST(Packet, APacketBegunAgainIsTheNewOne) {
  PacketReader reader;
  EXPECT_EQ(events_of(&reader, "$half of a packet$OK#9a"), Events{PacketEvent::Packet});
  EXPECT_EQ(reader.payload(), "OK");
}

TEST(Packet, BetweenPacketsOnlyThreeBytesMeanAnything) {
  PacketReader reader;
  EXPECT_EQ(events_of(&reader, "noise\x03+-#"),
            (Events{PacketEvent::Interrupt, PacketEvent::Acknowledged, PacketEvent::Repeat}));
}

TEST(Packet, APacketWithoutEndIsBoundedAndThenTooLong) {
  PacketReader reader;
  EXPECT_TRUE(events_of(&reader, "$" + std::string(4 * kMostPayload, 'm')).empty());
  EXPECT_EQ(reader.payload().size(), kMostPayload);
  EXPECT_EQ(events_of(&reader, "#00"), Events{PacketEvent::TooLong});
  EXPECT_EQ(events_of(&reader, "$OK#9a"), Events{PacketEvent::Packet});
}

TEST(Hex, NumbersAreDigitsOfAtMost32Bits) {
  Arguments good("ffffffff,0");
  EXPECT_EQ(good.take_number(), 0xffffffffU);
  EXPECT_TRUE(good.take(','));
  EXPECT_EQ(good.take_number(), 0U);
  EXPECT_TRUE(good.at_end());
  EXPECT_EQ(Arguments("100000000").take_number(), std::nullopt);
  EXPECT_EQ(Arguments("").take_number(), std::nullopt);
  EXPECT_EQ(Arguments("-1").take_number(), std::nullopt);
}

TEST(Hex, BytesArePairsOfDigits) {
  EXPECT_EQ(bytes_of_hex("00fF"), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(bytes_of_hex("0"), std::nullopt);
  EXPECT_EQ(bytes_of_hex("0g"), std::nullopt);
  EXPECT_EQ(to_hex(std::string_view("Az")), "417a");
}

}  // namespace
}  // namespace ringshift::debug

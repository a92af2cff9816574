#include "devices/input/ps2_mouse.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ringshift {
namespace {

using Bytes = std::vector<uint8_t>;

class Mouse : public ::testing::Test {
 protected:
  Bytes say(const Bytes& commands) {
    Bytes answers;
    for (const uint8_t byte : commands) {
      mouse_.command(byte);
      for (; mouse_.has_output();) answers.push_back(mouse_.take_output());
    }
    return answers;
  }
  Bytes drain() {
    Bytes bytes;
    while (mouse_.has_output()) bytes.push_back(mouse_.take_output());
    return bytes;
  }

  Ps2Mouse mouse_;
};

TEST_F(Mouse, ResetPassesAndNamesAPlainMouse) {
  EXPECT_EQ(say({0xff}), (Bytes{0xfa, 0xaa, 0x00}));
  EXPECT_EQ(say({0xf2}), (Bytes{0xfa, 0x00}));
}

TEST_F(Mouse, ReportsNothingUntilItIsTold) {
  mouse_.move({.right = 5});
  EXPECT_TRUE(drain().empty());
  EXPECT_EQ(say({0xf4}), (Bytes{0xfa}));
  mouse_.move({.right = 5, .up = -3, .buttons = 5});
  EXPECT_EQ(drain(), (Bytes{0x2d, 0x05, 0xfd}));
  say({0xf5});
  mouse_.move({.right = 5});
  EXPECT_TRUE(drain().empty());
}

TEST_F(Mouse, TheKnockMakesItAWheelMouse) {
  say({0xf3, 200, 0xf3, 100, 0xf3, 80});
  EXPECT_EQ(say({0xf2}), (Bytes{0xfa, 0x03}));
  say({0xf4});
  mouse_.move({.wheel = -1});
  EXPECT_EQ(drain(), (Bytes{0x08, 0x00, 0x00, 0xff}));
  say({0xff});
  EXPECT_EQ(say({0xf2}), (Bytes{0xfa, 0x00}));
}

TEST_F(Mouse, FarMovementTakesSeveralPackets) {
  say({0xf4});
  mouse_.move({.right = 300, .up = -256});
  EXPECT_EQ(drain(), (Bytes{0x28, 0xff, 0x01, 0x28, 0x2d, 0xff}));
}

TEST_F(Mouse, RemoteModeAnswersWhenAsked) {
  say({0xf0});
  mouse_.move({.right = 7});
  EXPECT_TRUE(drain().empty());
  EXPECT_EQ(say({0xeb}), (Bytes{0xfa, 0x08, 0x07, 0x00}));
}

TEST_F(Mouse, StatusTellsItsSettings) {
  say({0xe8, 3, 0xf3, 60, 0xe7, 0xf4});
  mouse_.move({.buttons = 2});
  drain();
  EXPECT_EQ(say({0xe9}), (Bytes{0xfa, 0x31, 0x03, 60}));
}

TEST_F(Mouse, EchoesInWrapMode) {
  EXPECT_EQ(say({0xee, 0x12, 0xf4, 0xec, 0xf2}), (Bytes{0xfa, 0x12, 0xf4, 0xfa, 0xfa, 0x00}));
}

TEST_F(Mouse, UnknownCommandsAreRefused) { EXPECT_EQ(say({0x00, 0xed}), (Bytes{0xfe, 0xfe})); }

TEST_F(Mouse, SaysAgainWhatItSaidLast) {
  say({0xff});
  EXPECT_EQ(say({0xfe, 0xfe}), (Bytes{0xfa, 0xaa, 0x00, 0xfa, 0xaa, 0x00}));
  say({0xf4});
  mouse_.move({.right = 5});
  mouse_.move({.right = 6});
  drain();
  EXPECT_EQ(say({0xfe}), (Bytes{0x08, 0x06, 0x00}));
}

TEST_F(Mouse, WhatThereWasNoRoomForFollowsWhenThereIs) {
  say({0xf4});
  mouse_.move({.right = 255 * 40, .buttons = 1});
  mouse_.move({});
  const Bytes bytes = drain();
  ASSERT_EQ(bytes.size(), 3U * 40);
  EXPECT_EQ(bytes[0], 0x09);
  EXPECT_EQ((Bytes(bytes.end() - 3, bytes.end())), (Bytes{0x08, 0xff, 0x00}));
}

TEST_F(Mouse, SaysNothingOfItselfInWrapMode) {
  say({0xf4, 0xee});
  mouse_.move({.right = 5});
  EXPECT_TRUE(drain().empty());
}

TEST_F(Mouse, AHostThatNeverReadsFillsNothing) {
  std::minstd_rand random(9);
  for (int i = 0; i < 100'000; ++i) {
    if (random() % 2 == 0) {
      mouse_.command(static_cast<uint8_t>(random() % 3 == 0 ? random() : 0xe0 | random() % 32));
    } else {
      mouse_.move({static_cast<int>(random()), -static_cast<int>(random()),
                   static_cast<int>(random()), static_cast<uint8_t>(random())});
    }
  }
  EXPECT_LE(drain().size(), 64U);
}

}  // namespace
}  // namespace ringshift

#include "devices/input/keyboard_script.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;

class KeyboardScriptTest : public ::testing::Test {
 protected:
  std::vector<KeyStep> parse(const std::string& text) {
    std::vector<KeyStep> steps;
    EXPECT_TRUE(parse_keys(text, &steps, &problem_)) << problem_;
    return steps;
  }
  // The bytes seen by a guest that reads every byte at once, in scan code set 1.
  std::vector<uint8_t> typed(Nanoseconds duration) {
    std::vector<uint8_t> bytes;
    for (Nanoseconds t = 0; t < duration; t += 10'000'000) {
      clock_.advance(10'000'000);
      while ((in8(keyboard_.command_port(), 0) & 1) != 0) {
        bytes.push_back(in8(keyboard_.data_port(), 0));
      }
    }
    return bytes;
  }

  ManualClock clock_;
  RecordingLine line_;
  A20Gate a20_{{}};
  RecordingLine mouse_line_;
  I8042 keyboard_{line_, mouse_line_, a20_, {}};
  std::string screen_, problem_;
  std::function<std::string()> look_ = [this] { return screen_; };
};

TEST_F(KeyboardScriptTest, LettersShiftAndNamedKeys) {
  KeyboardScript script(clock_, keyboard_, look_, parse("aB<enter><up>"));
  EXPECT_EQ(typed(kSecond), (std::vector<uint8_t>{0x1e, 0x9e, 0x2a, 0x30, 0xb0, 0xaa, 0x1c, 0x9c,
                                                  0xe0, 0x48, 0xe0, 0xc8}));
}

TEST_F(KeyboardScriptTest, ControlAndLessThan) {
  KeyboardScript script(clock_, keyboard_, look_, parse("<ctrl-x><lt>"));
  EXPECT_EQ(typed(kSecond), (std::vector<uint8_t>{0x1d, 0x2d, 0xad, 0x9d, 0x2a, 0x33, 0xb3, 0xaa}));
}

TEST_F(KeyboardScriptTest, MovesTheMouseWithItsButtonHeld) {
  out8(keyboard_.command_port(), 0, 0xd4);
  out8(keyboard_.data_port(), 0, 0xf4);
  KeyboardScript script(clock_, keyboard_, look_, parse("<press><move:3,-2><release>"));
  EXPECT_EQ(typed(kSecond), (std::vector<uint8_t>{0xfa, 0x09, 0, 0, 0x29, 3, 0xfe, 0x08, 0, 0}));
}

TEST_F(KeyboardScriptTest, WaitsForTime) {
  KeyboardScript script(clock_, keyboard_, look_, parse("<wait:2>a"));
  EXPECT_TRUE(typed(2 * kSecond).empty());
  EXPECT_EQ(typed(kSecond).size(), 2U);
}

TEST_F(KeyboardScriptTest, WaitsForTheScreen) {
  KeyboardScript script(clock_, keyboard_, look_, parse("<until:login: >a"));
  EXPECT_TRUE(typed(5 * kSecond).empty());
  screen_ = "host login: _";
  EXPECT_EQ(typed(kSecond).size(), 2U);
}

TEST_F(KeyboardScriptTest, WaitsForATextThatEndsInBlanksWhereTheLineEnds) {
  // The page's lines come without the blanks at their ends, which are on the screen all the same.
  screen_ = "host login:\npassword\n";
  KeyboardScript one(clock_, keyboard_, look_, parse("<until:login: >a"));
  EXPECT_EQ(typed(kSecond).size(), 2U);
  KeyboardScript many(clock_, keyboard_, look_, parse("<until:login:      >b"));
  EXPECT_EQ(typed(kSecond).size(), 2U);
  KeyboardScript other(clock_, keyboard_, look_, parse("<until:logi >c<until:word>d"));
  EXPECT_TRUE(typed(kSecond).empty());
}

TEST_F(KeyboardScriptTest, KeyWaitsUntilTheOneBeforeIsTaken) {
  KeyboardScript script(clock_, keyboard_, look_, parse("abcdefghijklmnopqrstuvwxyz0123456789"));
  clock_.advance(60 * kSecond);
  EXPECT_EQ(typed(10 * kSecond).size(), 72U);
}

TEST_F(KeyboardScriptTest, WhatCannotBeTypedIsNamed) {
  std::vector<KeyStep> steps;
  for (const char* text :
       {"<nokey>", "<", "<enter", "\x01", "<wait:x>", "<wait:>", "<ctrl-?>", "<until:>", "<move:1>",
        "<move:1,2,3>", "<move:,>", "\xc3\xa4", "<wait:99999999999>"}) {
    EXPECT_FALSE(parse_keys(text, &steps, &problem_)) << text;
    EXPECT_NE(problem_.find("cannot type"), std::string::npos);
  }
}

}  // namespace
}  // namespace ringshift

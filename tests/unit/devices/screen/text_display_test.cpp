#include "devices/screen/text_display.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kTick = 50'000'000;

class Display : public ::testing::Test {
 protected:
  TextDisplayConfig config() {
    return {.page = [this] { return page_; },
            .print =
                [this](const std::string& text) {
                  if (!is_behind_) printed_.push_back(text);
                  return !is_behind_;
                },
            .poll_keys =
                [this] {
                  const size_t used = display_.type(keys_);
                  keys_.erase(keys_.begin(), keys_.begin() + static_cast<ptrdiff_t>(used));
                }};
  }
  // Scan codes of set 1 that a guest reads while the terminal has sent `keys`.
  std::vector<uint8_t> typed(const std::string& keys) {
    keys_.assign(keys.begin(), keys.end());
    std::vector<uint8_t> bytes;
    for (int i = 0; i < 20; ++i) {
      clock_.advance(kTick);
      while ((in8(keyboard_.command_port(), 0) & 1) != 0) {
        bytes.push_back(in8(keyboard_.data_port(), 0));
      }
    }
    EXPECT_TRUE(keys_.empty());
    return bytes;
  }

  ManualClock clock_;
  VgaText vga_;
  RecordingLine line_;
  A20Gate a20_{{}};
  RecordingLine mouse_line_;
  I8042 keyboard_{line_, mouse_line_, a20_, {}};
  std::string page_ = "one\ntwo\n";
  std::vector<std::string> printed_;
  bool is_behind_ = false;
  std::vector<uint8_t> keys_;
  TextDisplay display_{clock_, vga_, keyboard_, config()};
};

TEST_F(Display, ShowsThePageOnceForEachChange) {
  clock_.advance(10 * kTick);
  ASSERT_EQ(printed_.size(), 1U);
  EXPECT_TRUE(printed_[0].starts_with("\x1b[Hone\x1b[K\r\ntwo\x1b[K\r\n\x1b[J")) << printed_[0];
  page_ = "three\n";
  clock_.advance(10 * kTick);
  EXPECT_EQ(printed_.size(), 2U);
}

TEST_F(Display, ATerminalThatIsBehindGetsTheNewestPageOnly) {
  is_behind_ = true;
  clock_.advance(10 * kTick);
  page_ = "three\n";
  clock_.advance(10 * kTick);
  EXPECT_TRUE(printed_.empty());
  is_behind_ = false;
  clock_.advance(10 * kTick);
  ASSERT_EQ(printed_.size(), 1U);
  EXPECT_NE(printed_[0].find("three"), std::string::npos);
}

TEST_F(Display, PutsTheCursorWhereTheGuestHasIt) {
  vga_.crtc_ports().write(0, AccessWidth::Word, 0x000e);
  vga_.crtc_ports().write(0, AccessWidth::Word, 0x520f);  // 82: row 2, column 3
  clock_.advance(kTick);
  EXPECT_NE(printed_.at(0).find("\x1b[2;3H\x1b[?25h"), std::string::npos);
  vga_.crtc_ports().write(0, AccessWidth::Word, 0x200a);
  clock_.advance(kTick);
  EXPECT_NE(printed_.at(1).find("\x1b[?25l"), std::string::npos);
}

TEST_F(Display, TerminalKeysBecomeScanCodes) {
  EXPECT_EQ(typed("a\r"), (std::vector<uint8_t>{0x1e, 0x9e, 0x1c, 0x9c}));
  EXPECT_EQ(typed("\x1b[A"), (std::vector<uint8_t>{0xe0, 0x48, 0xe0, 0xc8}));
  EXPECT_EQ(typed("\x1b"), (std::vector<uint8_t>{0x01, 0x81}));
  EXPECT_EQ(typed("\x03"), (std::vector<uint8_t>{0x1d, 0x2e, 0xae, 0x9d}));
  EXPECT_EQ(typed("\x7f"), (std::vector<uint8_t>{0x0e, 0x8e}));
  EXPECT_EQ(typed("\x1b[24~"), (std::vector<uint8_t>{0x58, 0xd8}));
}

TEST_F(Display, WhatHasNoKeyIsDropped) {
  EXPECT_TRUE(typed("\xc3\xa4").empty());
  EXPECT_TRUE(typed(std::string("\0", 1)).empty());
}

}  // namespace
}  // namespace ringshift

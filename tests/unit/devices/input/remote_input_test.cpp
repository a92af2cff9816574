#include "devices/input/remote_input.h"

#include <gtest/gtest.h>

#include <vector>

#include "devices/input/key_translator.h"
#include "devices/input/scan_codes.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

using Bytes = std::vector<uint8_t>;
using Change = KeyTranslator::Change;

class Keys : public ::testing::Test {
 protected:
  Bytes codes_of(uint32_t symbol, Change change = Change::Press) {
    sent_.clear();
    keys_.symbol(symbol, change);
    return sent_;
  }
  Bytes codes_of_scan_code(uint32_t code, Change change = Change::Press) {
    sent_.clear();
    keys_.scan_code(code, change);
    return sent_;
  }

  bool takes_ = true;
  Bytes sent_;
  KeyTranslator keys_{[this](const Bytes& codes, Change) {
    if (takes_) sent_.insert(sent_.end(), codes.begin(), codes.end());
    return takes_;
  }};
};

constexpr uint32_t kLeftShift = 0xffe1, kControl = 0xffe3, kUp = 0xff52, kPause = 0xff13;

TEST_F(Keys, CharactersArePressedAndLetGo) {
  EXPECT_EQ(codes_of('a'), (Bytes{0x1c}));
  EXPECT_EQ(codes_of('a', Change::Release), (Bytes{0xf0, 0x1c}));
  EXPECT_EQ(codes_of(' '), (Bytes{0x29}));
  EXPECT_EQ(codes_of(kUp), (Bytes{0xe0, 0x75}));
  EXPECT_EQ(codes_of(kUp, Change::Release), (Bytes{0xe0, 0xf0, 0x75}));
}

TEST_F(Keys, ACharacterHasTheShiftThatAUsKeyboardNeeds) {
  EXPECT_EQ(codes_of('A'), (Bytes{0x12, 0x1c, 0xf0, 0x12}));
  EXPECT_EQ(codes_of('A', Change::Release), (Bytes{0xf0, 0x1c}));
  (void)codes_of(kLeftShift);
  EXPECT_EQ(codes_of('A'), (Bytes{0x1c}));
  (void)codes_of('A', Change::Release);
  // The digit of a keyboard that has it with shift.
  EXPECT_EQ(codes_of('1'), (Bytes{0xf0, 0x12, 0x16, 0x12}));
}

TEST_F(Keys, WhatWasPressedAsOneCharacterIsReleasedAsAnother) {
  (void)codes_of(kLeftShift);
  (void)codes_of('A');
  (void)codes_of(kLeftShift, Change::Release);
  EXPECT_EQ(codes_of('a', Change::Release), Bytes());  // it was not pressed as that
  EXPECT_EQ(codes_of('A', Change::Release), (Bytes{0xf0, 0x1c}));
}

TEST_F(Keys, AllIsLetGoAtTheEnd) {
  (void)codes_of(kControl);
  (void)codes_of(kUp);
  sent_.clear();
  keys_.release_all();
  EXPECT_EQ(sent_, (Bytes{0xf0, 0x14, 0xe0, 0xf0, 0x75}));
  sent_.clear();
  keys_.release_all();
  EXPECT_EQ(sent_, Bytes());
}

TEST_F(Keys, ScanCodesOfSetOneBecomeThoseOfSetTwo) {
  EXPECT_EQ(codes_of_scan_code(0x1e), (Bytes{0x1c}));
  EXPECT_EQ(codes_of_scan_code(0x1e, Change::Release), (Bytes{0xf0, 0x1c}));
  EXPECT_EQ(codes_of_scan_code(0xc8), (Bytes{0xe0, 0x75}));  // up
  EXPECT_EQ(codes_of_scan_code(0x41), (Bytes{0x83}));        // F7
  EXPECT_EQ(codes_of_scan_code(0), Bytes());
  EXPECT_EQ(codes_of_scan_code(0x1234), Bytes());
}

TEST_F(Keys, PauseIsAllOfItsCodesAtOnce) {
  EXPECT_EQ(codes_of(kPause), (Bytes{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}));
  EXPECT_EQ(codes_of(kPause, Change::Release), Bytes());
}

TEST_F(Keys, WhatALaterSideOfTheSenderDoesIsIgnored) {
  EXPECT_EQ(codes_of(0xfe03), Bytes());  // the shift of the third level
  EXPECT_EQ(codes_of(0xffe5), Bytes());  // caps lock
  EXPECT_EQ(codes_of('z', Change::Release), Bytes());
}

TEST_F(Keys, APressThatIsLostHasNoRelease) {
  takes_ = false;
  (void)codes_of('a');
  takes_ = true;
  EXPECT_EQ(codes_of('a', Change::Release), Bytes());
}

// Every code of set 1 that the controller makes of a code of set 2 finds the way back.
TEST(ScanCodes, TranslationAndItsInverseAgree) {
  RecordingLine irq1, irq12;
  A20Gate a20{[](bool) {}};
  I8042 controller{irq1, irq12, a20, [] {}};
  for (unsigned code = 1; code < 0x7f; ++code) {
    const uint8_t second = set_2_of_set_1(static_cast<uint8_t>(code));
    ASSERT_NE(second, 0) << code;
    const uint8_t codes[] = {second};
    ASSERT_EQ(controller.inject_scancodes(codes), 1U);
    EXPECT_EQ(in8(controller.data_port(), 0), code);
  }
}

class Remote : public ::testing::Test {
 protected:
  Bytes read_waiting() {
    Bytes bytes;
    while ((in8(controller_.command_port(), 0) & 1) != 0) {
      bytes.push_back(in8(controller_.data_port(), 0));
    }
    return bytes;
  }

  ManualClock clock_;
  RecordingLine irq1_, irq12_;
  A20Gate a20_{[](bool) {}};
  I8042 controller_{irq1_, irq12_, a20_, [] {}};
  std::vector<unsigned> taken_;
  RemoteInput input_{clock_, controller_, [this](uint8_t source) { taken_.push_back(source); }};
};

TEST_F(Remote, AKeyWaitsUntilTheGuestHasTakenTheOneBefore) {
  const uint8_t a[] = {0x1c}, b[] = {0x32};
  input_.put_keys(0, a);
  input_.put_keys(1, b);
  clock_.advance(1'000'000'000);
  EXPECT_EQ(taken_, (std::vector<unsigned>{0}));
  EXPECT_EQ(read_waiting(), (Bytes{0x1e}));
  clock_.advance(10'000'000);
  EXPECT_EQ(taken_, (std::vector<unsigned>{0, 1}));
  EXPECT_EQ(read_waiting(), (Bytes{0x30}));
}

TEST_F(Remote, AMovementIsWithTheMouseAtOnce) {
  out8(controller_.command_port(), 0, 0xd4);
  out8(controller_.data_port(), 0, 0xf4);
  EXPECT_EQ(read_waiting(), (Bytes{0xfa}));
  const MouseMotion motion{.right = 3, .up = -2, .wheel = 0, .buttons = 1};
  input_.put_motion(0, motion_of_bytes(bytes_of_motion(motion)));
  EXPECT_EQ(read_waiting(), (Bytes{0x29, 0x03, 0xfe}));
  EXPECT_EQ(taken_, (std::vector<unsigned>{0}));
}

TEST(Motion, AnyBytesAreOne) {
  const MouseMotion far{.right = 40000, .up = -40000, .wheel = -500, .buttons = 7};
  const MouseMotion back = motion_of_bytes(bytes_of_motion(far));
  EXPECT_EQ(back.right, 32767);
  EXPECT_EQ(back.up, -32767);
  EXPECT_EQ(back.wheel, -127);
  EXPECT_EQ(back.buttons, 7);
  EXPECT_EQ(motion_of_bytes(Bytes{1, 2, 3}).right, 0);
}

}  // namespace
}  // namespace ringshift

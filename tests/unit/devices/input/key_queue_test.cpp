// KeyQueue: keys reach the guest in their order, one when the one before has been taken; KeyCodes.
#include "devices/input/key_queue.h"

#include <gtest/gtest.h>

#include "devices/input/key_codes.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

TEST(KeyCodesTest, NamesAndNumbersAreOfTheSameKeys) {
  EXPECT_EQ(key_named("a"), (KeyCode{0x1c, false}));
  EXPECT_EQ(key_named("a"), key_numbered(0x1e));
  EXPECT_EQ(key_named("up"), (KeyCode{0x75, true}));
  EXPECT_EQ(key_named("up"), key_numbered(0xc8));
  EXPECT_EQ(key_named("up"), key_numbered(0xe048));
  EXPECT_FALSE(key_named("A"));
  EXPECT_FALSE(key_numbered(0x5a));
  EXPECT_FALSE(key_numbered(0x10000 | 0x1e));
}

TEST(KeyCodesTest, KeysGoDownAndUp) {
  EXPECT_EQ(key_bytes({0x1c, false}, true), (std::vector<uint8_t>{0x1c}));
  EXPECT_EQ(key_bytes({0x75, true}, false), (std::vector<uint8_t>{0xe0, 0xf0, 0x75}));
  EXPECT_EQ(key_bytes(*key_named("pause"), true).size(), 8U);
  EXPECT_TRUE(key_bytes(*key_named("pause"), false).empty());
}

class KeyQueueTest : public ::testing::Test {
 protected:
  void advance_without_reading(Nanoseconds duration) {
    for (Nanoseconds t = 0; t < duration; t += 1'000'000) clock_.advance(1'000'000);
  }
  std::vector<uint8_t> typed(Nanoseconds duration) {
    std::vector<uint8_t> bytes;
    for (Nanoseconds t = 0; t < duration; t += 1'000'000) {
      clock_.advance(1'000'000);
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
  KeyQueue keys_{clock_, keyboard_};
};

constexpr Nanoseconds kMillisecond = 1'000'000;

TEST_F(KeyQueueTest, AKeyIsHeldAsLongAsWasAsked) {
  ASSERT_TRUE(keys_.add(key_bytes(*key_named("a"), true), 0));
  ASSERT_TRUE(keys_.add(key_bytes(*key_named("a"), false), 100 * kMillisecond));
  EXPECT_EQ(typed(90 * kMillisecond), (std::vector<uint8_t>{0x1e}));
  EXPECT_EQ(typed(30 * kMillisecond), (std::vector<uint8_t>{0x9e}));
}

TEST_F(KeyQueueTest, NoKeyIsLostHoweverManyCome) {
  for (size_t i = 0; i < KeyQueue::kMostSteps; ++i) ASSERT_TRUE(keys_.add({0x1c}, 0));
  EXPECT_FALSE(keys_.add({0x1c}, 0));
  EXPECT_EQ(typed(2 * KeyQueue::kMostSteps * kMillisecond),
            std::vector<uint8_t>(KeyQueue::kMostSteps, 0x1e));
  EXPECT_EQ(keys_.waiting(), 0U);
}

TEST_F(KeyQueueTest, AGuestThatTakesNoneLosesThem) {
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(keys_.add({0x1c}, 0));
  advance_without_reading(1'000 * kMillisecond);
  EXPECT_EQ(keys_.waiting(), 7U);
  advance_without_reading(2'000 * kMillisecond);
  EXPECT_EQ(keys_.waiting(), 0U);
}

}  // namespace
}  // namespace ringshift

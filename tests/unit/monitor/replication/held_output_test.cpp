#include "monitor/replication/held_output.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr auto kSerial = HeldOutput::Serial;

HeldOutput::Totals serial(uint64_t bytes) {
  HeldOutput::Totals totals{};
  totals[kSerial] = bytes;
  return totals;
}

class HeldOutputTest : public ::testing::Test {
 protected:
  HeldOutputTest() {
    output_.set_sink(
        kSerial,
        [this](std::span<const uint8_t> bytes) { shown_.append(bytes.begin(), bytes.end()); },
        [this] { return unsent_; });
    output_.set_flush([this] { ++flushes_; });
    output_.set_on_held([this] { ++holds_; });
  }
  void print(const std::string& text) {
    for (const char c : text) output_.device_end(kSerial)->transmit(static_cast<uint8_t>(c));
  }

  HeldOutput output_;
  std::string shown_;
  size_t unsent_ = 0;
  int flushes_ = 0, holds_ = 0;
};

TEST_F(HeldOutputTest, LeavesUpToWhereItMay) {
  print("abcdef");
  EXPECT_EQ(shown_, "");
  EXPECT_EQ(holds_, 1);
  EXPECT_EQ(output_.waiting(), 6U);
  EXPECT_TRUE(output_.release(serial(4)));
  EXPECT_EQ(shown_, "abcd");
  EXPECT_FALSE(output_.release(serial(4)));
  EXPECT_FALSE(output_.release(serial(2)));  // an old word
  EXPECT_TRUE(output_.release(serial(100)));
  EXPECT_EQ(shown_, "abcdef");
  EXPECT_EQ(flushes_, 2);
  EXPECT_EQ(output_.come(), serial(6));
  EXPECT_EQ(output_.left(), serial(6));
  print("g");
  EXPECT_EQ(holds_, 2);
}

TEST_F(HeldOutputTest, DoesNotShowWhatAnotherHasShown) {
  print("abc");
  output_.forget(serial(2));
  EXPECT_EQ(output_.waiting_of(kSerial), 1U);
  output_.forget(serial(5));  // the other one is ahead
  EXPECT_EQ(output_.waiting(), 0U);
  print("defg");
  EXPECT_EQ(output_.waiting(), 2U);
  output_.open();
  EXPECT_EQ(shown_, "fg");
  print("h");
  EXPECT_EQ(shown_, "fgh");
  EXPECT_EQ(output_.left(), serial(8));
}

TEST_F(HeldOutputTest, SaysWhatNobodyCanTakeBack) {
  print("abc");
  (void)output_.release(output_.come());
  unsent_ = 2;
  EXPECT_EQ(output_.shown(), serial(1));
  unsent_ = 7;  // a Telnet line's words are longer than the guest's
  EXPECT_EQ(output_.shown(), serial(0));
  unsent_ = 0;
  EXPECT_EQ(output_.shown(), serial(3));
}

TEST_F(HeldOutputTest, LosesWhatLeadsNowhere) {
  output_.set_sink(kSerial, {});
  print("abc");
  EXPECT_TRUE(output_.release(output_.come()));
  output_.open();
  print("d");
  EXPECT_EQ(output_.shown(), serial(4));
  EXPECT_EQ(shown_, "");
}

TEST(HeldOutput, BeginsWhereAnotherMachineHasComeTo) {
  HeldOutput output;
  std::string shown;
  output.set_sink(HeldOutput::Serial, [&](std::span<const uint8_t> bytes) {
    shown.append(bytes.begin(), bytes.end());
  });
  const HeldOutput::Totals before{100, 1, 2, 3, 4};
  output.begin_at(before);
  EXPECT_EQ(output.come(), before);
  EXPECT_EQ(output.shown(), before);
  output.device_end(HeldOutput::Serial)->transmit('a');
  EXPECT_EQ(output.waiting(), 1U);
  output.open();
  EXPECT_EQ(shown, "a");
  EXPECT_EQ(output.come()[HeldOutput::Serial], 101U);
}

TEST(HeldOutput, HoldsAgain) {
  HeldOutput output;
  std::string shown;
  output.set_sink(HeldOutput::Serial, [&](std::span<const uint8_t> bytes) {
    shown.append(bytes.begin(), bytes.end());
  });
  output.open();
  output.device_end(HeldOutput::Serial)->transmit('a');
  output.close();
  output.device_end(HeldOutput::Serial)->transmit('b');
  EXPECT_EQ(shown, "a");
  EXPECT_EQ(output.left()[HeldOutput::Serial], 1U);
  EXPECT_TRUE(output.release(output.come()));
  EXPECT_EQ(shown, "ab");
}

}  // namespace
}  // namespace ringshift

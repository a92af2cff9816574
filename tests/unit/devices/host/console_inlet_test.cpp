#include "devices/host/console_inlet.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ringshift {
namespace {

class ConsoleInletTest : public ::testing::Test {
 protected:
  void type(std::string_view text) {
    inlet_.put({HostInput::Kind::ConsoleBytes, 0, {text.begin(), text.end()}});
  }
  void type_prompt_key() { inlet_.put({HostInput::Kind::PromptKey, 0, {}}); }
  // The text of a reader who takes at most `limit` bytes.
  [[nodiscard]] static ConsoleInlet::Accept append_to(std::string* text, size_t limit) {
    return [text, limit](std::span<const uint8_t> bytes) {
      const auto part = bytes.first(std::min(limit, bytes.size()));
      text->append(part.begin(), part.end());
      return part.size();
    };
  }
  [[nodiscard]] std::string take(size_t limit = 1000) {
    std::string text;
    inlet_.deliver(append_to(&text, limit));
    return text;
  }
  [[nodiscard]] std::string take_at_prompt(size_t limit = 1000) {
    std::string text;
    inlet_.deliver_to_prompt(append_to(&text, limit));
    return text;
  }
  size_t taken_ = 0;
  ConsoleInlet inlet_{[this](size_t count) { taken_ += count; }};
};

TEST_F(ConsoleInletTest, InputNotTakenStaysInItsOrder) {
  type("he");
  type("llo");
  EXPECT_TRUE(inlet_.has_input());
  EXPECT_EQ(take(3), "hel");
  EXPECT_EQ(taken_, 3U);
  EXPECT_EQ(take(), "lo");
  EXPECT_EQ(taken_, 5U);
  EXPECT_FALSE(inlet_.has_input());
}

TEST_F(ConsoleInletTest, KeysAreThePromptsWhileItIsOpen) {
  type("before");
  type_prompt_key();
  type("inside");
  EXPECT_TRUE(inlet_.prompt_is_open());
  type_prompt_key();
  type("after");
  EXPECT_FALSE(inlet_.prompt_is_open());
  EXPECT_EQ(take(), "beforeafter");
  EXPECT_EQ(take_at_prompt(), "inside");
  EXPECT_EQ(taken_, 19U) << "with a byte for each of the two keys";
}

TEST_F(ConsoleInletTest, ThePromptThatBeginsHasWhatWasTypedBefore) {
  type("step\r");
  inlet_.begin_at_prompt();
  EXPECT_FALSE(inlet_.has_input());
  EXPECT_TRUE(inlet_.has_prompt_input());
  EXPECT_EQ(take_at_prompt(), "step\r");
  EXPECT_FALSE(inlet_.has_prompt_input());
}

TEST_F(ConsoleInletTest, WhatThePromptLeavesIsTheGuestsBehindWhatWasTypedBefore) {
  type("a");
  inlet_.set_prompt_open(true);
  type("c\rls");
  EXPECT_EQ(take_at_prompt(2), "c\r");
  inlet_.set_prompt_open(false);
  inlet_.leave_rest_to_guest();
  type("\r");
  EXPECT_EQ(take(), "als\r");
}

TEST_F(ConsoleInletTest, TheEndIsTold) {
  EXPECT_FALSE(inlet_.has_ended());
  inlet_.put({HostInput::Kind::ConsoleEnd, 0, {}});
  EXPECT_TRUE(inlet_.has_ended());
}

}  // namespace
}  // namespace ringshift

// MessageReader: texts end where their brackets do, and no client makes it hold much.
#include "monitor/control/message_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace ringshift::control {
namespace {

using namespace std::string_view_literals;

class MessageReaderTest : public ::testing::Test {
 protected:
  std::vector<Message> take(std::string_view text) {
    std::vector<Message> all;
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    while (auto message = reader_.take(&bytes)) all.push_back(*message);
    EXPECT_TRUE(bytes.empty());
    return all;
  }
  MessageReader reader_;
};

TEST_F(MessageReaderTest, ATextEndsWithItsLastBracket) {
  const auto all = take(" {\"a\": [1, {}]}\r\n{\"b\":2}{}");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].text, "{\"a\": [1, {}]}");
  EXPECT_EQ(all[1].text, "{\"b\":2}");
  EXPECT_EQ(all[2].text, "{}");
}

TEST_F(MessageReaderTest, PartsOfATextAreOneText) {
  EXPECT_TRUE(take("{\"exec").empty());
  EXPECT_EQ(reader_.held(), 6U);
  EXPECT_TRUE(take("ute\":").empty());
  ASSERT_EQ(take("1}").size(), 1U);
  EXPECT_EQ(reader_.held(), 0U);
}

TEST_F(MessageReaderTest, BracketsInStringsAreCharacters) {
  const auto all = take(R"({"a": "}]\"}", "b": "\\"})");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].text, R"({"a": "}]\"}", "b": "\\"})");
}

TEST_F(MessageReaderTest, WhatIsNoObjectIsRefusedOnceALine) {
  const auto all = take("hello {} world\n\n{}\n\0\xff\n{}"sv);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].problem, "JSON parse error, a message is an object");
  EXPECT_EQ(all[1].text, "{}");
  EXPECT_FALSE(all[2].problem.empty());
  EXPECT_EQ(all[3].text, "{}");
}

TEST_F(MessageReaderTest, ADeepTextIsRefusedAndTheNextLineIsHeard) {
  const auto all = take(std::string(100'000, '[') + "\n{}");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].problem, "JSON nesting depth limit exceeded");
  EXPECT_EQ(all[1].text, "{}");
  const std::string deepest =
      std::string(MessageReader::kDeepest, '[') + std::string(MessageReader::kDeepest, ']');
  EXPECT_EQ(take(deepest).at(0).text, deepest);
}

TEST_F(MessageReaderTest, ALongTextIsRefusedAndNeverHeld) {
  const auto all = take("{\"a\": \"" + std::string(1 << 20, 'x'));
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].problem, "JSON token size limit exceeded");
  EXPECT_EQ(reader_.held(), 0U);
  EXPECT_EQ(take("\"}\n{}").at(0).text, "{}");
}

}  // namespace
}  // namespace ringshift::control

// TelnetLine: the bytes of the protocol and those of the guest (RFC 854, 856, 857, 858).
#include "monitor/host/sockets/telnet_line.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace ringshift {
namespace {

using std::string_literals::operator""s;

class Telnet : public ::testing::Test {
 protected:
  std::string take(const std::string& bytes) {
    const std::vector<uint8_t> given(bytes.begin(), bytes.end());
    const std::vector<uint8_t> taken = line_.take(given);
    return {taken.begin(), taken.end()};
  }
  std::string sent_;
  TelnetLine line_{[this](std::string_view bytes) { sent_ += bytes; }};
};

TEST_F(Telnet, OffersEchoAndBytesAsTheyAre) {
  for (const char option : {'\x01', '\x03', '\x00'}) {
    EXPECT_NE(sent_.find("\xff\xfb"s + option), std::string::npos) << static_cast<int>(option);
  }
  EXPECT_NE(sent_.find("\xff\xfd\x03"s), std::string::npos);
  EXPECT_EQ(sent_.find("\xff\xfd\x01"s), std::string::npos);  // the peer does not echo
}

TEST_F(Telnet, CommandsAreNotTheGuests) {
  EXPECT_EQ(take("a\xff\xf1"s + "b\xff\xff"s + "c"), "ab\xff"s + "c");
  EXPECT_EQ(take("\xff"), "");
  EXPECT_EQ(take("\xf1rest"), "rest");
}

TEST_F(Telnet, WhatIsNotKnownIsRefused) {
  sent_.clear();
  EXPECT_EQ(take("\xff\xfb\x1f\xff\xfd\x18"s), "");
  EXPECT_EQ(sent_, "\xff\xfe\x1f\xff\xfc\x18"s);
}

TEST_F(Telnet, TheReturnKeyIsOneByte) {
  EXPECT_EQ(take("one\r\0two\r\n"s), "one\rtwo\r\n");
  EXPECT_EQ(take("\r"), "\r");
  EXPECT_EQ(take("\0x"s), "x");
  EXPECT_EQ(take("\xff\xfb\0"s), "");  // bytes as they are, from here on
  EXPECT_EQ(take("\r\0"s), "\r\0"s);
}

TEST_F(Telnet, TheGuestsBytesArriveWhole) {
  sent_.clear();
  line_.put("a\xff\r\nb");
  EXPECT_EQ(sent_, "a\xff\xff\r\nb");
}

TEST_F(Telnet, NothingAPeerSaysIsTooMuch) {
  // The rest of a negotiation that is too long is taken for text.
  const std::string text = take("\xff\xfa\x1f"s + std::string(1 << 20, 'n') + "\xff\xf0" + "end");
  EXPECT_LT(text.size(), size_t{1} << 20);
  EXPECT_TRUE(text.ends_with("end"));
  std::mt19937 dice(20261130);
  constexpr char kWords[] = {'\xff', '\xfa', '\xf0', '\xfb', '\xfd', '\xfe', '\0', '\x56', 'a'};
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    for (unsigned n = dice() % 16; n != 0; --n) bytes.push_back(kWords[dice() % sizeof(kWords)]);
    EXPECT_LE(take(bytes).size(), bytes.size());
  }
}

}  // namespace
}  // namespace ringshift

#include "monitor/manager/wire.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace ringshift::manager {
namespace {

class WireTest : public testing::Test {
 protected:
  WireTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
    wire_ = Wire(ends_[0]);
  }
  ~WireTest() override {
    if (ends_[1] >= 0) close(ends_[1]);
  }
  void other_sends(const std::string& text) {
    ASSERT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void other_goes() {
    close(ends_[1]);
    ends_[1] = -1;
  }
  void serve() {
    pollfd waiting = wire_.waiting_for();
    if (waiting.fd >= 0 && poll(&waiting, 1, 0) >= 0) wire_.serve(waiting.revents);
  }

  std::array<int, 2> ends_{};
  Wire wire_;
};

TEST_F(WireTest, MessagesComeWholeWhateverPartsTheyComeIn) {
  other_sends("{\"a\":");
  serve();
  EXPECT_FALSE(wire_.take_message().has_value());
  other_sends("5}{\"a\":6}");
  serve();
  EXPECT_EQ(number_of(*wire_.take_message(), "a"), 5);
  EXPECT_EQ(number_of(*wire_.take_message(), "a"), 6);
}

TEST_F(WireTest, WhatIsNoMessageEndsTheConnection) {
  other_sends("{nonsense}");
  serve();
  EXPECT_FALSE(wire_.take_message().has_value());
  EXPECT_FALSE(wire_.is_open());
}

TEST_F(WireTest, BracketsWithoutEndEndTheConnection) {
  other_sends(std::string(1000, '['));
  serve();
  EXPECT_FALSE(wire_.take_message().has_value());
  EXPECT_FALSE(wire_.is_open());
}

TEST_F(WireTest, WhoDoesNotReadLosesTheConnection) {
  const std::string some(size_t{100} << 10, 'x');
  for (int i = 0; i < 30 && wire_.is_open(); ++i) wire_.send(some);
  EXPECT_FALSE(wire_.is_open());
}

TEST_F(WireTest, WhoHasGoneIsNoticedWithoutBeingSentAnything) {
  other_sends("x");
  other_goes();
  serve();
  serve();
  EXPECT_EQ(wire_.take_bytes(), "x");
  EXPECT_TRUE(wire_.has_ended());
  EXPECT_TRUE(wire_.has_gone());
}

TEST_F(WireTest, WhoSendsNoMoreMayStillRead) {
  shutdown(ends_[1], SHUT_WR);
  serve();
  serve();
  EXPECT_TRUE(wire_.has_ended());
  EXPECT_FALSE(wire_.has_gone());
}

}  // namespace
}  // namespace ringshift::manager

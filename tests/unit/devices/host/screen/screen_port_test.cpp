#include "devices/host/screen/screen_port.h"

#include <gtest/gtest.h>

#include "devices/host/screen/picture_feed.h"
#include "devices/input/remote_input.h"

namespace ringshift {
namespace {

using Kind = HostInput::Kind;
using Loss = ScreenPort::Loss;
using Clock = PictureFeed::Clock;
using std::chrono::milliseconds;

class Port : public ::testing::Test {
 protected:
  Port() {
    port_.set_on_screen([this] { ++told_; });
    port_.attach(inbox_);
  }
  std::vector<Kind> kinds() {
    std::vector<Kind> kinds;
    for (const HostInput& input : inbox_.take()) kinds.push_back(input.kind);
    return kinds;
  }
  void give() {
    port_.give([this](ScreenContent* content) {
      ++captured_;
      capture_screen(vga_, nullptr, content);
    });
  }

  Inbox inbox_{[] {}};
  ScreenPort port_{3};
  VgaText vga_;
  int told_ = 0, captured_ = 0;
};

TEST_F(Port, NothingIsCopiedUnasked) {
  give();
  EXPECT_EQ(captured_, 0);
  port_.ask();
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::Screen}));
  give();
  give();
  EXPECT_EQ(captured_, 1);
  EXPECT_EQ(told_, 1);
  ScreenContent content;
  EXPECT_TRUE(port_.take(&content));
  EXPECT_EQ(content.crtc(0x13), 40);
  EXPECT_FALSE(port_.take(&content));
}

TEST_F(Port, AQuestionOutlivesTheMachine) {
  port_.ask();
  port_.detach();
  Inbox next([] {});
  port_.attach(next);
  EXPECT_EQ(next.take().size(), 1U);
}

TEST_F(Port, KeysOnTheirWayAreBounded) {
  for (unsigned i = 0; i < ScreenPort::kMostOnTheirWay; ++i) {
    ASSERT_TRUE(port_.put_keys({0x1c}, Loss::Allowed));
  }
  EXPECT_FALSE(port_.put_keys({0x1c}, Loss::Allowed));
  EXPECT_TRUE(port_.put_keys({0xf0, 0x1c}, Loss::Forbidden));
  EXPECT_EQ(inbox_.take().size(), ScreenPort::kMostOnTheirWay + 1);
  port_.note_input_taken();
  EXPECT_FALSE(port_.put_keys({0x1c}, Loss::Allowed));
  port_.note_input_taken();
  EXPECT_TRUE(port_.put_keys({0x1c}, Loss::Allowed));
}

TEST_F(Port, MovementsBecomeOneWhenThereIsNoRoom) {
  while (port_.put_keys({0x1c}, Loss::Allowed)) {
  }
  (void)inbox_.take();
  port_.put_motion({.right = 3, .up = 1, .buttons = 1});
  port_.put_motion({.right = 4, .up = -5, .buttons = 0});
  EXPECT_TRUE(inbox_.take().empty());
  port_.note_input_taken();
  const std::vector<HostInput> inputs = inbox_.take();
  ASSERT_EQ(inputs.size(), 1U);
  EXPECT_EQ(inputs[0].kind, Kind::Motion);
  EXPECT_EQ(inputs[0].source, 3);
  const MouseMotion motion = motion_of_bytes(inputs[0].bytes);
  EXPECT_EQ(motion.right, 7);
  EXPECT_EQ(motion.up, -4);
  EXPECT_EQ(motion.buttons, 0);
}

TEST_F(Port, WithoutAMachineInputIsGone) {
  port_.detach();
  EXPECT_FALSE(port_.put_keys({0x1c}, Loss::Allowed));
  EXPECT_TRUE(port_.put_keys({0xf0, 0x1c}, Loss::Forbidden));
  port_.put_motion({.right = 1});
  EXPECT_TRUE(inbox_.take().empty());
}

class Feed : public Port {
 protected:
  // The changes that came: -1: nothing; -2: all of it; otherwise so many tiles.
  int taken() {
    int tiles = 0;
    bool all = false;
    if (!feed_.take([&] { all = true; }, [&](uint32_t, uint32_t) { ++tiles; })) return -1;
    return all ? -2 : tiles;
  }

  PictureFeed feed_{port_};
};

TEST_F(Feed, AsksAtMostTwentyFiveTimesASecond) {
  Clock::time_point now = Clock::now();
  (void)feed_.ask(now);
  EXPECT_EQ(kinds().size(), 1U);
  (void)feed_.ask(now + milliseconds(900));
  EXPECT_EQ(kinds().size(), 0U);  // it was not answered yet
  give();
  EXPECT_EQ(taken(), -2);
  EXPECT_EQ(feed_.ask(now + milliseconds(30)), 10);
  EXPECT_EQ(kinds().size(), 0U);
  (void)feed_.ask(now + milliseconds(40));
  EXPECT_EQ(kinds().size(), 1U);
  (void)feed_.ask(now + milliseconds(1040));
  EXPECT_EQ(kinds().size(), 1U);  // the machine may have lost the question
}

TEST_F(Feed, TellsWhatIsNew) {
  const std::vector<uint8_t> font(4096, 0x3c);
  vga_.set_up_text(font);
  port_.ask();
  give();
  EXPECT_EQ(taken(), -2);
  EXPECT_EQ(feed_.picture().width, 640);
  EXPECT_EQ(feed_.picture().height, 400);
  EXPECT_EQ(taken(), -1);
  port_.ask();
  give();
  EXPECT_EQ(taken(), 0);
  vga_.write(0x18000 + 2 * 85, AccessWidth::Word, 0x1741);  // line 1, column 5: one tile
  port_.ask();
  give();
  EXPECT_EQ(taken(), 1);
  EXPECT_EQ(feed_.picture().pixels[16 * 640 + 40], 0x0000aaU);
}

}  // namespace
}  // namespace ringshift

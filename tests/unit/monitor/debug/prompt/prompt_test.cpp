// Prompt: its input, its output, and when the guest goes on.
#include "monitor/debug/prompt/prompt.h"

#include <gtest/gtest.h>

#include "tests/support/debug_fixture.h"

namespace ringshift::debug {
namespace {

class PromptTest : public ::testing::Test {
 protected:
  PromptTest() { target_.execution.pause(StopCause::Asked); }
  Prompt::Wish type(std::string_view text, bool may_control = true) {
    printed_.clear();
    std::span<const uint8_t> keys(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    const Prompt::Wish wish = prompt_.take(&keys, target_, may_control);
    left_ = keys.size();
    return wish;
  }
  [[nodiscard]] bool has_printed(const std::string& text) const {
    return printed_.find(text) != std::string::npos;
  }

  FakeTarget target_;
  std::string printed_;
  size_t left_ = 0;
  Prompt prompt_{[this](const std::string& text) { printed_ += text; }};
};

TEST_F(PromptTest, SaysWhereTheGuestStandsAndAsks) {
  target_.guest.eip = 0x4711;
  prompt_.open(target_);
  EXPECT_EQ(printed_, "\nstopped at 00004711, CPL 0\n(ringshift) ");
}

TEST_F(PromptTest, EchoesAndErases) {
  EXPECT_EQ(type("ab\x7f"
                 "c\x15"
                 "d"),
            Prompt::Wish::Stay);
  EXPECT_EQ(printed_, "ab\b \bc\b \b\b \bd");
}

TEST_F(PromptTest, AsksTheTargetWhatItDoesNotKnowItself) {
  EXPECT_EQ(type("registers\r"), Prompt::Wish::Stay);
  EXPECT_TRUE(has_printed("you said registers\n(ringshift) "));
  EXPECT_EQ(type("help\r"), Prompt::Wish::Stay);
  EXPECT_TRUE(has_printed("walk [ADDRESS]"));
  EXPECT_TRUE(has_printed("break [ADDRESS]"));
}

TEST_F(PromptTest, KeysAfterTheLineThatLetsTheGuestGoAreNotTaken) {
  EXPECT_EQ(type("c\rls\r"), Prompt::Wish::Leave);
  EXPECT_EQ(left_, 3U);
  EXPECT_FALSE(target_.execution.is_paused());
  target_.execution.pause(StopCause::Asked);
  EXPECT_EQ(type("step\r"), Prompt::Wish::Step);
  EXPECT_TRUE(target_.execution.holds_interrupts(GuestVirtual(0)));
}

TEST_F(PromptTest, SetsAndForgetsPoints) {
  using Kind = ExecutionControl::BreakpointKind;
  EXPECT_EQ(type("break c0100000\rb 0x10\rwatch 1000 8\r"), Prompt::Wish::Stay);
  EXPECT_EQ(target_.execution.breakpoints(Kind::Software),
            (std::set<GuestVirtual>{GuestVirtual(0x10), GuestVirtual(0xc0100000)}));
  EXPECT_EQ(*target_.execution.watches().begin(),
            (WatchedData{GuestVirtual(0x1000), 8, WatchKind::Write}));
  EXPECT_EQ(type("delete 10\rdelete 1000\r"), Prompt::Wish::Stay);
  EXPECT_EQ(target_.execution.breakpoints(Kind::Software),
            std::set<GuestVirtual>{GuestVirtual(0xc0100000)});
  EXPECT_TRUE(target_.execution.watches().empty());
  EXPECT_EQ(type("delete\r"), Prompt::Wish::Stay);
  EXPECT_FALSE(target_.execution.has_points());
}

TEST_F(PromptTest, NonsenseIsALineAndNothingElse) {
  EXPECT_EQ(type("break nowhere\rwatch\rwatch 1000 0\r\r"), Prompt::Wish::Stay);
  EXPECT_FALSE(target_.execution.has_points());
  EXPECT_TRUE(has_printed("which address?"));
  EXPECT_TRUE(has_printed("cannot watch that"));
}

TEST_F(PromptTest, UnderADebuggerTheGuestCanOnlyBeLookedAt) {
  EXPECT_EQ(type("continue\rbreak 10\rquit\r", false), Prompt::Wish::Stay);
  EXPECT_TRUE(target_.execution.is_paused());
  EXPECT_FALSE(target_.execution.has_points());
  EXPECT_FALSE(target_.has_quit);
  EXPECT_EQ(type("registers\r", false), Prompt::Wish::Stay);
  EXPECT_TRUE(has_printed("you said registers"));
}

TEST_F(PromptTest, ALineIsBounded) {
  EXPECT_EQ(type(std::string(100000, 'x') + "\r"), Prompt::Wish::Stay);
  EXPECT_LT(printed_.size(), 1000U);
}

TEST_F(PromptTest, QuitEndsTheMachine) {
  EXPECT_EQ(type("quit\r"), Prompt::Wish::Leave);
  EXPECT_TRUE(target_.has_quit);
}

}  // namespace
}  // namespace ringshift::debug

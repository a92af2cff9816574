#include "devices/host/control_port.h"

#include <gtest/gtest.h>

#include <string_view>

namespace ringshift {
namespace {

using Kind = HostInput::Kind;

class Control : public ::testing::Test {
 protected:
  Control() { port_.attach(inbox_, true); }
  void say(std::string_view text) {
    for (const char c : text) port_.transmit(static_cast<uint8_t>(c));
  }
  void type(const std::string& text) {
    port_.type({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  size_t typed() {
    size_t count = 0;
    for (const HostInput& input : inbox_.take()) {
      EXPECT_EQ(input.kind, Kind::ConsoleBytes);
      EXPECT_EQ(input.source, 2);
      count += input.bytes.size();
    }
    return count;
  }

  Inbox inbox_{[] {}};
  ControlPort port_{2};
};

TEST_F(Control, EachPageReadsTheSerialPortFromItsOwnPlace) {
  uint64_t first = 0, second = 0;
  say("one ");
  EXPECT_EQ(port_.output_since(&first), "one ");
  say("two");
  EXPECT_EQ(port_.output_since(&first), "two");
  EXPECT_EQ(port_.output_since(&first), "");
  EXPECT_EQ(port_.output_since(&second), "one two");
}

TEST_F(Control, TheLastOutputIsKept) {
  say(std::string(ControlPort::kKeptOutput, 'a'));
  say("the end");
  uint64_t place = 0;
  const std::string kept = port_.output_since(&place);
  EXPECT_EQ(kept.size(), ControlPort::kKeptOutput);
  EXPECT_TRUE(kept.ends_with("aathe end"));
  uint64_t beyond = 1 << 30;
  EXPECT_EQ(port_.output_since(&beyond), "");
}

TEST_F(Control, WhatIsTypedIsBounded) {
  type(std::string(10'000, 'x'));
  type(std::string(10'000, 'x'));
  EXPECT_EQ(typed(), ControlPort::kMostInput);
  type("more");
  EXPECT_EQ(typed(), 0U);
  port_.note_input_taken(3);
  type("more");
  EXPECT_EQ(typed(), 3U);
}

TEST_F(Control, FiguresAreMadeWhenTheyAreAskedFor) {
  int made = 0;
  const auto figures = [&] { return std::to_string(++made); };
  port_.give_figures(figures);
  EXPECT_EQ(made, 0);
  port_.ask_figures();
  EXPECT_EQ(inbox_.take()[0].kind, Kind::Figures);
  port_.give_figures(figures);
  port_.give_figures(figures);
  std::string text;
  EXPECT_TRUE(port_.take_figures(&text));
  EXPECT_EQ(text, "1");
  EXPECT_FALSE(port_.take_figures(&text));
}

TEST_F(Control, ThePowerButtonIsTheMachines) {
  EXPECT_TRUE(port_.has_power_button());
  EXPECT_TRUE(port_.wish(Kind::PowerButton));
  EXPECT_EQ(inbox_.take().size(), 1U);
  port_.detach();
  EXPECT_FALSE(port_.has_power_button());
  port_.attach(inbox_, false);
  EXPECT_FALSE(port_.has_power_button());
}

TEST_F(Control, AWishNeedsAMachine) {
  EXPECT_TRUE(port_.wish(Kind::Reset));
  EXPECT_TRUE(port_.wish(Kind::Reset));
  EXPECT_EQ(inbox_.take().size(), 1U);  // it counts once
  port_.detach();
  EXPECT_FALSE(port_.has_machine());
  EXPECT_FALSE(port_.wish(Kind::Reset));
  type("lost");
  EXPECT_TRUE(inbox_.take().empty());
}

}  // namespace
}  // namespace ringshift

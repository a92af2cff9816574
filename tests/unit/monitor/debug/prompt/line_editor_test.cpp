// LineEditor: the screen after each key, and the line that the keys make.
#include "monitor/debug/prompt/line_editor.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace ringshift::debug {
namespace {

class LineEditorTest : public ::testing::Test {
 protected:
  // The last line that the keys end; "(none)".
  std::string type(std::string_view keys) {
    std::string line = "(none)";
    for (const char key : keys) {
      const auto ended = editor_.take(static_cast<uint8_t>(key), [this](const std::string& begin) {
        std::vector<std::string> fitting;
        const std::string last = begin.substr(begin.rfind(' ') + 1);
        for (const std::string& word : words_) {
          if (word.starts_with(last)) fitting.push_back(word);
        }
        return fitting;
      });
      if (ended) line = *ended;
    }
    return line;
  }
  // The line that a terminal shows after this output.
  [[nodiscard]] std::string screen() const {
    std::string line;
    size_t at = 0;
    for (const char c : printed_) {
      if (c == '\n') {
        line.clear();
        at = 0;
      } else if (c == '\b') {
        --at;
      } else {
        if (at == line.size()) line.push_back(' ');
        line[at++] = c;
      }
    }
    return line.substr(0, line.find_last_not_of(' ') + 1);
  }

  std::string printed_;
  std::vector<std::string> words_{"stop", "step", "info"};
  LineEditor editor_{[this](const std::string& text) { printed_ += text; }, "> "};
};

TEST_F(LineEditorTest, InsertsAndErasesInTheMiddle) {
  editor_.ask();
  type("abd\x1b[Dc");
  EXPECT_EQ(screen(), "> abcd");
  type("\x7f\x7f");
  EXPECT_EQ(screen(), "> ad");
  type("\x1b[H\x1b[3~x\x1b[Fy");
  EXPECT_EQ(screen(), "> xdy");
  EXPECT_EQ(type("\r"), "xdy");
}

TEST_F(LineEditorTest, ErasesWordsAndLines) {
  editor_.ask();
  type("one two  \x17");
  EXPECT_EQ(screen(), "> one");
  type("\x1b[H\x0b");
  EXPECT_EQ(screen(), ">");
  type("gone\x15kept");
  EXPECT_EQ(type("\r"), "kept");
}

TEST_F(LineEditorTest, RecallsWhatWasTypedBefore) {
  type("first\rsecond line\rsecond line\r");
  editor_.ask();
  type("new\x1b[A");
  EXPECT_EQ(screen(), "> second line");
  type("\x1b[A\x1b[A");
  EXPECT_EQ(screen(), "> first");
  type("\x1b[B\x1b[B\x1b[B");
  EXPECT_EQ(screen(), "> new");
  EXPECT_EQ(type("\x10\x10\r"), "first");
}

TEST_F(LineEditorTest, CompletesAWordOrListsThem) {
  editor_.ask();
  type("in\t");
  EXPECT_EQ(screen(), "> info");
  type("\x15s\t");
  EXPECT_EQ(screen(), "> st");
  printed_.clear();
  type("\t");
  EXPECT_EQ(printed_, "\nstop  step  \n> st");
  EXPECT_EQ(type("o\t\r"), "stop ");
}

TEST_F(LineEditorTest, StaysBoundedWhateverIsTyped) {
  EXPECT_EQ(type(std::string(100'000, 'x') + "\r").size(), LineEditor::kLongestLine);
  EXPECT_EQ(type("\x1b[" + std::string(1000, '1') + "\x15ok\r"), "ok");
  for (int i = 0; i < 1000; ++i) type(std::to_string(i) + "\r");
  std::string up;
  for (int i = 0; i < 1000; ++i) up += "\x1b[A";
  EXPECT_EQ(type(up + "\r"), std::to_string(1000 - LineEditor::kMostHistory));
}

}  // namespace
}  // namespace ringshift::debug

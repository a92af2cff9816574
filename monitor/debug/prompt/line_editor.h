// LineEditor: a line being typed at a terminal, key by key: cursor, history, completion. Owns: the
// line and the lines before it, all bounded. Knows no terminal but its control sequences (ECMA-48),
// and never waits for one. See docs/debugging.md, docs/decisions/0016-a-line-editor-of-our-own.md.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ringshift::debug {

class LineEditor {
 public:
  static constexpr size_t kLongestLine = 256, kMostHistory = 100;
  using Print = std::function<void(const std::string&)>;
  // The words that could stand for the last word of this beginning of a line.
  using Complete = std::function<std::vector<std::string>(const std::string& line)>;

  LineEditor(Print print, std::string prompt)
      : print_(std::move(print)), prompt_(std::move(prompt)) {}

  // A new line is asked for; the typed part of another is gone.
  void ask();
  // The line, if this key ends it. complete: for this key only.
  [[nodiscard]] std::optional<std::string> take(uint8_t key, const Complete& complete);

 private:
  [[nodiscard]] bool take_escape(uint8_t key);
  void take_sequence(char last);
  void edit(uint8_t key, const Complete& complete);
  void insert(const std::string& text);
  void erase_before();
  void erase_here();
  void erase_word();
  void move_to(size_t place);
  void replace_by(const std::string& text);
  void recall(bool older);
  void complete_word(const Complete& complete);

  Print print_;
  std::string prompt_;
  std::string line_;
  size_t cursor_ = 0;
  std::string escape_;  // of a control sequence, as far as it has come
  std::deque<std::string> history_;
  size_t recalled_ = 0;  // how many lines back; 0: the one being typed
  std::string typed_;    // that one, while another is shown
};

}  // namespace ringshift::debug

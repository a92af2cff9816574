#include "monitor/debug/prompt/line_editor.h"

#include <algorithm>

namespace ringshift::debug {
namespace {

constexpr uint8_t kBackspace = 8, kTab = 9, kEscape = 0x1b, kDelete = 127;
constexpr uint8_t kLeft = 2, kDeleteHere = 4, kEnd = 5, kRight = 6, kEraseRest = 0x0b;
constexpr uint8_t kNewer = 0x0e, kOlder = 0x10, kEraseLine = 0x15, kEraseWord = 0x17;

std::string backs(size_t count) { return std::string(count, '\b'); }

std::string common_beginning(const std::vector<std::string>& words) {
  std::string common = words.front();
  for (const std::string& word : words) {
    const auto end = std::mismatch(common.begin(), common.end(), word.begin(), word.end()).first;
    common.erase(end, common.end());
  }
  return common;
}

}  // namespace

void LineEditor::ask() {
  line_.clear();
  cursor_ = recalled_ = 0;
  print_(prompt_);
}

std::optional<std::string> LineEditor::take(uint8_t key, const Complete& complete) {
  if (take_escape(key)) return std::nullopt;
  if (key != '\r' && key != '\n') {
    edit(key, complete);
    return std::nullopt;
  }
  print_("\n");
  if (!line_.empty() && (history_.empty() || history_.back() != line_)) history_.push_back(line_);
  if (history_.size() > kMostHistory) history_.pop_front();
  cursor_ = recalled_ = 0;
  return std::exchange(line_, {});
}

// ESC [ and parameters and a letter, or ESC O and a letter. True: the key is of a sequence.
bool LineEditor::take_escape(uint8_t key) {
  constexpr size_t kLongest = 8;
  if (escape_.empty()) {
    if (key == kEscape) escape_ = "\x1b";
    return key == kEscape;
  }
  escape_.push_back(static_cast<char>(key));
  const bool is_introduced = escape_.size() > 2 || key == '[' || key == 'O';
  const bool is_parameter = escape_.size() > 2 && (key == ';' || (key >= '0' && key <= '9'));
  if (is_introduced && (escape_.size() == 2 || is_parameter) && escape_.size() < kLongest) {
    return true;
  }
  if (is_introduced) take_sequence(static_cast<char>(key));
  escape_.clear();
  return true;
}

void LineEditor::take_sequence(char last) {
  const std::string parameter = escape_.substr(2, escape_.size() - 3);
  if (last == 'A' || last == 'B') return recall(last == 'A');
  if (last == 'C') return move_to(cursor_ + 1);
  if (last == 'D' && cursor_ > 0) return move_to(cursor_ - 1);
  if (last == 'H' || (last == '~' && (parameter == "1" || parameter == "7"))) return move_to(0);
  if (last == 'F' || (last == '~' && (parameter == "4" || parameter == "8"))) {
    return move_to(line_.size());
  }
  if (last == '~' && parameter == "3") erase_here();
}

void LineEditor::edit(uint8_t key, const Complete& complete) {
  switch (key) {
    case kBackspace:
    case kDelete:
      return erase_before();
    case kDeleteHere:
      return erase_here();
    case kLeft:
      return move_to(cursor_ - std::min<size_t>(cursor_, 1));
    case kRight:
      return move_to(cursor_ + 1);
    case kEnd:
      return move_to(line_.size());
    case kOlder:
    case kNewer:
      return recall(key == kOlder);
    case kEraseLine:
      while (cursor_ > 0) erase_before();
      return;
    case kEraseRest:
      while (cursor_ < line_.size()) erase_here();
      return;
    case kEraseWord:
      return erase_word();
    case kTab:
      return complete_word(complete);
    default:
      if (key >= ' ') insert(std::string(1, static_cast<char>(key)));
  }
}

void LineEditor::insert(const std::string& text) {
  if (line_.size() + text.size() > kLongestLine) return;
  line_.insert(cursor_, text);
  const std::string rest = line_.substr(cursor_);
  cursor_ += text.size();
  print_(rest + backs(line_.size() - cursor_));
}

void LineEditor::erase_before() {
  if (cursor_ == 0) return;
  line_.erase(--cursor_, 1);
  const std::string rest = line_.substr(cursor_);
  print_("\b" + rest + " " + backs(rest.size() + 1));
}

void LineEditor::erase_here() {
  if (cursor_ == line_.size()) return;
  line_.erase(cursor_, 1);
  const std::string rest = line_.substr(cursor_);
  print_(rest + " " + backs(rest.size() + 1));
}

void LineEditor::erase_word() {
  while (cursor_ > 0 && line_[cursor_ - 1] == ' ') erase_before();
  while (cursor_ > 0 && line_[cursor_ - 1] != ' ') erase_before();
}

void LineEditor::move_to(size_t place) {
  place = std::min(place, line_.size());
  print_(place < cursor_ ? backs(cursor_ - place) : line_.substr(cursor_, place - cursor_));
  cursor_ = place;
}

void LineEditor::replace_by(const std::string& text) {
  const size_t shorter = line_.size() > text.size() ? line_.size() - text.size() : 0;
  print_(backs(cursor_) + text + std::string(shorter, ' ') + backs(shorter));
  line_ = text;
  cursor_ = text.size();
}

void LineEditor::recall(bool older) {
  if (older ? recalled_ == history_.size() : recalled_ == 0) return;
  if (recalled_ == 0) typed_ = line_;
  recalled_ = older ? recalled_ + 1 : recalled_ - 1;
  replace_by(recalled_ == 0 ? typed_ : history_[history_.size() - recalled_]);
}

void LineEditor::complete_word(const Complete& complete) {
  const std::string before = line_.substr(0, cursor_);
  const std::vector<std::string> words = complete(before);
  if (words.empty()) return;
  const size_t word_at =
      before.find_last_of(' ') == std::string::npos ? 0 : before.find_last_of(' ') + 1;
  const std::string common = common_beginning(words);
  const size_t have = before.size() - word_at;
  if (words.size() == 1) return insert(common.substr(std::min(have, common.size())) + " ");
  if (common.size() > have) return insert(common.substr(have));
  std::string list = "\n";
  for (const std::string& word : words) list += word + "  ";
  print_(list + "\n" + prompt_ + line_ + backs(line_.size() - cursor_));
}

}  // namespace ringshift::debug

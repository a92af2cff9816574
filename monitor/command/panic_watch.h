// PanicWatch: looks in a guest's output for the line by which Linux ends: with its time in front,
// as the kernel prints it itself. Owns: the line that has not come in full. See docs/ci.md.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>

namespace ringshift {

class PanicWatch {
 public:
  // True, once and for all, when the line has come.
  bool add(std::string_view text) {
    for (const char c : text) {
      if (!line_.empty() || is_new_) take(c);
      is_new_ = c == '\n';
    }
    return has_panicked();
  }
  [[nodiscard]] bool has_panicked() const { return !found_.empty(); }
  // Linux's own line about the panic.
  [[nodiscard]] const std::string& why() const { return found_; }

 private:
  static constexpr size_t kLongest = 300;

  void take(char c) {
    if (c == '\n' || line_.size() == kLongest) {
      look();
      line_.clear();
    } else if (c != '\r') {
      line_.push_back(c);
    }
  }
  // "[    1.234567] Kernel panic - not syncing: why", perhaps with the processor's number behind
  // the time.
  void look() {
    constexpr std::string_view kWords = "] Kernel panic - not syncing: ";
    const size_t at = line_.find(kWords);
    const bool is_time =
        at != std::string::npos && line_[0] == '[' &&
        std::all_of(line_.begin() + 1, line_.begin() + static_cast<std::ptrdiff_t>(at),
                    [](unsigned char c) { return std::isdigit(c) != 0 || c == ' ' || c == '.'; });
    if (is_time && found_.empty()) found_ = line_.substr(at + kWords.size());
  }

  bool is_new_ = true;  // a line begins
  std::string line_;
  std::string found_;
};

}  // namespace ringshift

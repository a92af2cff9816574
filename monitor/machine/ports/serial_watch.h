// SerialWatch: hands on a serial port's output, and says when a text has been in it. Owns: how much
// of the text the last bytes are. Does not own: the next receiver. See docs/usage.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "devices/chips/serial_backend.h"

namespace ringshift {

class SerialWatch final : public SerialBackend {
 public:
  // Pre: text is not empty.
  SerialWatch(SerialBackend& to, std::string text, std::function<void()> on_text)
      : to_(to), text_(std::move(text)), on_text_(std::move(on_text)), border_(text_.size() + 1) {
    // border_[n]: the longest beginning of the text that the first n bytes of it end with.
    for (size_t n = 1, length = 0; n < text_.size(); ++n) {
      while (length != 0 && text_[n] != text_[length]) length = border_[length];
      if (text_[n] == text_[length]) ++length;
      border_[n + 1] = length;
    }
  }

  void transmit(uint8_t byte) override {
    to_.transmit(byte);
    const char c = static_cast<char>(byte);
    while (found_ != 0 && (found_ == text_.size() || text_[found_] != c)) found_ = border_[found_];
    if (text_[found_] == c) ++found_;
    if (found_ == text_.size()) on_text_();
  }

 private:
  SerialBackend& to_;
  std::string text_;
  std::function<void()> on_text_;
  std::vector<size_t> border_;
  size_t found_ = 0;
};

}  // namespace ringshift

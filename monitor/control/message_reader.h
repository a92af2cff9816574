// MessageReader: bytes of a client into JSON texts, whatever parts they come in. Owns: the text
// that is coming, bounded in length and in depth. A text ends with the bracket that closes its
// first one. After one that is too long, too deep or no JSON, everything up to the end of the line
// is passed over. See docs/control.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace ringshift::control {

struct Message {
  std::string text;     // a JSON text as far as its brackets say
  std::string problem;  // not empty: there is no text, and this is why
};

class MessageReader {
 public:
  static constexpr size_t kLongest = 64 * 1024;
  static constexpr size_t kDeepest = 64;

  // Takes bytes off the front, up to the end of a message at most. None: all have been taken.
  [[nodiscard]] std::optional<Message> take(std::span<const uint8_t>* bytes);
  // The text that was just handed out is no JSON.
  void pass_over_line() { passing_over_ = true; }
  [[nodiscard]] size_t held() const { return text_.size(); }

 private:
  [[nodiscard]] std::optional<Message> take_byte(char byte);
  [[nodiscard]] std::optional<Message> take_inside(char byte);
  [[nodiscard]] Message refuse(const char* problem);

  std::string text_;  // empty: between two texts
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;  // the byte before was a backslash in a string
  bool passing_over_ = false;
};

}  // namespace ringshift::control

#include "monitor/control/message_reader.h"

#include <utility>

namespace ringshift::control {
namespace {

bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

}  // namespace

std::optional<Message> MessageReader::take(std::span<const uint8_t>* bytes) {
  while (!bytes->empty()) {
    const auto byte = static_cast<char>(bytes->front());
    *bytes = bytes->subspan(1);
    std::optional<Message> message = take_byte(byte);
    if (message) return message;
  }
  return std::nullopt;
}

Message MessageReader::refuse(const char* problem) {
  text_.clear();
  depth_ = 0;
  in_string_ = escaped_ = false;
  passing_over_ = true;
  return {"", problem};
}

std::optional<Message> MessageReader::take_byte(char byte) {
  if (passing_over_) {
    passing_over_ = byte != '\n';
    return std::nullopt;
  }
  if (!text_.empty()) return take_inside(byte);
  if (is_blank(byte)) return std::nullopt;
  if (byte != '{' && byte != '[') return refuse("JSON parse error, a message is an object");
  text_.push_back(byte);
  depth_ = 1;
  return std::nullopt;
}

std::optional<Message> MessageReader::take_inside(char byte) {
  if (text_.size() >= kLongest) return refuse("JSON token size limit exceeded");
  text_.push_back(byte);
  if (in_string_) {
    in_string_ = escaped_ || byte != '"';
    escaped_ = !escaped_ && byte == '\\';
    return std::nullopt;
  }
  if (byte == '"') {
    in_string_ = true;
  } else if (byte == '{' || byte == '[') {
    if (++depth_ > kDeepest) return refuse("JSON nesting depth limit exceeded");
  } else if ((byte == '}' || byte == ']') && --depth_ == 0) {
    return Message{std::exchange(text_, {}), ""};
  }
  return std::nullopt;
}

}  // namespace ringshift::control

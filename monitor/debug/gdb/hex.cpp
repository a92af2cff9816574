#include "monitor/debug/gdb/hex.h"

namespace ringshift::debug {

int hex_digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

std::string to_hex(std::string_view text) {
  return to_hex(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

std::optional<std::vector<uint8_t>> bytes_of_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<uint8_t>(high * 16 + low));
  }
  return bytes;
}

bool Arguments::take(char character) {
  if (rest_.empty() || rest_[0] != character) return false;
  rest_.remove_prefix(1);
  return true;
}

bool Arguments::take(std::string_view word) {
  if (!rest_.starts_with(word)) return false;
  rest_.remove_prefix(word.size());
  return true;
}

std::optional<uint32_t> Arguments::take_number() {
  uint64_t value = 0;
  size_t digits = 0;
  while (digits < rest_.size() && hex_digit(rest_[digits]) >= 0) {
    value = value * 16 + static_cast<uint64_t>(hex_digit(rest_[digits]));
    if (value > 0xffffffffU) return std::nullopt;
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  rest_.remove_prefix(digits);
  return static_cast<uint32_t>(value);
}

std::string_view Arguments::take_until(char separator) {
  const size_t end = rest_.find(separator);
  const std::string_view taken = rest_.substr(0, end);
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  return taken;
}

}  // namespace ringshift::debug

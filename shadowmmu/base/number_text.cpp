#include "shadowmmu/base/number_text.h"

#include <charconv>

namespace ringshift {

bool parse_number(const std::string& text, uint32_t* value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stopped == end && !text.empty();
}

bool parse_size(const std::string& text, uint64_t unit_without_suffix, uint64_t* bytes) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stopped == text.data()) return false;
  uint64_t unit = unit_without_suffix;
  if (stopped != end) {
    if (stopped + 1 != end) return false;
    switch (*stopped) {
      case 'k':
      case 'K':
        unit = 1U << 10;
        break;
      case 'm':
      case 'M':
        unit = 1U << 20;
        break;
      case 'g':
      case 'G':
        unit = 1U << 30;
        break;
      default:
        return false;
    }
  }
  return !__builtin_mul_overflow(number, unit, bytes);
}

bool parse_address(const std::string& text, uint32_t* address) {
  const bool is_hexadecimal = text.rfind("0x", 0) == 0 || text.rfind("0X", 0) == 0;
  const char* begin = text.data() + (is_hexadecimal ? 2 : 0);
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(begin, end, *address, is_hexadecimal ? 16 : 10);
  return error == std::errc() && stopped == end && stopped != begin;
}

}  // namespace ringshift

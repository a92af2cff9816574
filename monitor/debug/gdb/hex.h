// Hex: numbers and bytes as the remote serial protocol writes them, and back, with every digit
// checked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringshift::debug {

// -1: no digit.
[[nodiscard]] int hex_digit(char character);
[[nodiscard]] std::string to_hex(std::span<const uint8_t> bytes);
[[nodiscard]] std::string to_hex(std::string_view text);
// Nothing unless all of it is pairs of digits.
[[nodiscard]] std::optional<std::vector<uint8_t>> bytes_of_hex(std::string_view text);

// A reader of one packet's arguments, from left to right.
class Arguments {
 public:
  explicit Arguments(std::string_view text) : rest_(text) {}
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  // True, and past it, if this comes next.
  [[nodiscard]] bool take(char character);
  [[nodiscard]] bool take(std::string_view word);
  // One or more digits, at most 32 bits.
  [[nodiscard]] std::optional<uint32_t> take_number();
  // Up to the separator, which is skipped, or to the end.
  [[nodiscard]] std::string_view take_until(char separator);

 private:
  std::string_view rest_;
};

}  // namespace ringshift::debug

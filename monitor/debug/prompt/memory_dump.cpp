#include "monitor/debug/prompt/memory_dump.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>

namespace ringshift::debug {
namespace {

constexpr uint32_t kMostBytes = 4096;
constexpr unsigned kPhysicalBits = 36;

struct Format {
  uint32_t count = 1;
  char form = 'x';
  uint32_t bytes = 4;
};

std::optional<Format> parse_format(std::string_view text) {
  Format format;
  if (text.empty()) return format;
  if (text.front() != '/') return std::nullopt;
  text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.begin(), text.end(), format.count);
  if (error == std::errc()) text.remove_prefix(static_cast<size_t>(end - text.begin()));
  for (const char c : text) {
    constexpr std::string_view kForms = "xduoc", kSizes = "bhwg";
    if (kForms.find(c) != std::string_view::npos) {
      format.form = c;
      if (c == 'c') format.bytes = 1;
    } else if (const size_t size = kSizes.find(c); size != std::string_view::npos) {
      format.bytes = 1U << size;
    } else {
      return std::nullopt;
    }
  }
  const bool fits = format.count >= 1 && format.count <= kMostBytes / format.bytes;
  return fits ? std::optional(format) : std::nullopt;
}

std::optional<uint64_t> parse_place(ControlTarget& target, const std::string& text) {
  if (text.starts_with('$')) {
    uint32_t value = 0;
    if (!target.register_value(text.substr(1), &value)) return std::nullopt;
    return value;
  }
  const std::string_view digits = std::string_view(text).substr(text.starts_with("0x") ? 2 : 0);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, 16);
  if (error != std::errc() || end != digits.end()) return std::nullopt;
  return value;
}

std::string one_item(const Format& format, uint64_t value) {
  const unsigned spare = 64 - 8 * format.bytes;
  switch (format.form) {
    case 'd':
      return fmt::format("{:>11}", static_cast<int64_t>(value << spare) >> spare);
    case 'u':
      return fmt::format("{:>11}", value);
    case 'o':
      return fmt::format("0{:o}", value);
    case 'c': {
      const auto byte = static_cast<unsigned char>(value);
      return std::isprint(byte) != 0 ? fmt::format("'{}'", static_cast<char>(byte))
                                     : fmt::format("'\\x{:02x}'", byte);
    }
    default:
      return fmt::format("0x{:0{}x}", value, 2 * format.bytes);
  }
}

}  // namespace

std::string dump_memory(ControlTarget& target, bool is_physical, const std::string& format_text,
                        const std::string& address) {
  const std::optional<Format> format = parse_format(format_text);
  if (!format) return "the format is /COUNT, one of x d u o c, and one of b h w g\n";
  const std::optional<uint64_t> first = parse_place(target, address);
  const unsigned bits = is_physical ? kPhysicalBits : 32;
  if (!first || *first >> bits != 0) return "'" + address + "' is no address\n";
  const uint32_t in_line = format->bytes == 8 ? 2 : format->bytes == 4 ? 4 : 8;
  std::string text;
  for (uint32_t i = 0; i < format->count; ++i) {
    const uint64_t at = (*first + uint64_t{i} * format->bytes) & ((uint64_t{1} << bits) - 1);
    if (i % in_line == 0) {
      text += fmt::format("{}{:0{}x}:", i == 0 ? "" : "\n", at, is_physical ? 16 : 8);
    }
    std::array<uint8_t, 8> bytes{};
    const auto these = std::span(bytes).first(format->bytes);
    const size_t read = is_physical ? target.read_physical(at, these)
                                    : target.read_linear(static_cast<uint32_t>(at), these);
    if (read != these.size()) return text + "\nCannot access memory\n";
    uint64_t value = 0;
    for (size_t byte = these.size(); byte-- > 0;) value = value << 8 | these[byte];
    text += " " + one_item(*format, value);
  }
  return text + "\n";
}

}  // namespace ringshift::debug

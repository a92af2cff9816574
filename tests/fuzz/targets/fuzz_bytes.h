// FuzzBytes: the input of a fuzz target, read as choices from the front. An input that has ended
// reads as zeros, so that every input means something and a shorter one means nearly the same. One
// call a statement: the order of calls within one is the compiler's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

namespace ringshift::fuzz {

class FuzzBytes {
 public:
  explicit FuzzBytes(std::span<const uint8_t> bytes) : left_(bytes) {}

  [[nodiscard]] bool empty() const { return left_.empty(); }
  [[nodiscard]] uint8_t u8() { return number<uint8_t>(); }
  [[nodiscard]] uint16_t u16() { return number<uint16_t>(); }
  [[nodiscard]] uint32_t u32() { return number<uint32_t>(); }
  [[nodiscard]] uint64_t u64() { return number<uint64_t>(); }
  // Pre: limit is in 1..256: one byte is one choice, so that a flipped bit changes one choice.
  [[nodiscard]] uint32_t below(uint32_t limit) { return u8() % limit; }
  template <typename Table>
  [[nodiscard]] auto pick(const Table& table) {
    return table[below(static_cast<uint32_t>(std::size(table)))];
  }
  [[nodiscard]] std::span<const uint8_t> take(size_t most) {
    const auto taken = left_.first(std::min(most, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }
  [[nodiscard]] std::span<const uint8_t> rest() { return take(left_.size()); }
  [[nodiscard]] std::string text(size_t most) {
    const auto bytes = take(most);
    return {bytes.begin(), bytes.end()};
  }

 private:
  template <typename Number>
  [[nodiscard]] Number number() {
    Number value = 0;
    const auto bytes = take(sizeof(Number));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::span<const uint8_t> left_;
};

}  // namespace ringshift::fuzz

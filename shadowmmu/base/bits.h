// Bits: sets of small numbers as words, a bit each, in their order.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ringshift {

inline constexpr uint32_t kWordBits = 64;

// Each word is read once, before the first of its bits is seen to: `see` may change the set.
template <size_t kWords, typename See>
void for_each_set(const std::array<uint64_t, kWords>& words, const See& see) {
  for (uint32_t word = 0; word < kWords; ++word) {
    for (uint64_t left = words[word]; left != 0; left &= left - 1) {
      see(word * kWordBits + static_cast<uint32_t>(std::countr_zero(left)));
    }
  }
}

}  // namespace ringshift

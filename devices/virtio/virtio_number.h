// VirtioNumber: a number as virtio's structures have it in memory: little-endian, at any place
// (virtio 1.1, 1.4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringshift {

// The little-endian number in `count` bytes from `at` on, at most eight. Bytes: any type that has
// bytes by index.
template <typename Bytes>
[[nodiscard]] uint64_t number_at(const Bytes& bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint64_t{bytes[at + i]} << (8 * i);
  return value;
}

}  // namespace ringshift

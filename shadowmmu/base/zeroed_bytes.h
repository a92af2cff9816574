// ZeroedBytes: many bytes that are zero at first, and take memory of the host's only where they are
// touched. Owns: them. And whether bytes are zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace ringshift {

// All of them: the first is zero, and each is the one before it.
[[nodiscard]] inline bool is_zero(std::span<const uint8_t> bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

class ZeroedBytes {
 public:
  explicit ZeroedBytes(size_t size)
      : bytes_(static_cast<uint8_t*>(std::calloc(size, 1))), size_(size) {
    if (bytes_ == nullptr) throw std::bad_alloc();
  }
  [[nodiscard]] std::span<uint8_t> span() const { return {bytes_.get(), size_}; }

 private:
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t, Free> bytes_;
  size_t size_;
};

}  // namespace ringshift

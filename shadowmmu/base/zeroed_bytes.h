// ZeroedBytes: many bytes that are zero at first, and take memory of the host's only where they are
// touched. Owns: them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace ringshift {

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

// ByteQueue: bytes in order, taken from the front piece by piece at a cost that does not grow with
// how many wait. Owns: the bytes; its writer bounds them. See docs/devices.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ringshift {

class ByteQueue {
 public:
  [[nodiscard]] size_t size() const { return bytes_.size() - taken_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::span<const uint8_t> waiting() const {
    return std::span(bytes_).subspan(taken_);
  }
  void append(std::span<const uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  // Pre: count <= size().
  void drop(size_t count) {
    taken_ += count;
    if (taken_ > bytes_.size() / 2) move_up();
  }
  [[nodiscard]] std::vector<uint8_t> take_all() {
    move_up();
    return std::exchange(bytes_, {});
  }

 private:
  void move_up() {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(taken_));
    taken_ = 0;
  }

  std::vector<uint8_t> bytes_;
  size_t taken_ = 0;
};

}  // namespace ringshift

// BootImage: one image file, with reads that cannot leave it. Owns: the file descriptor and a copy
// of the first bytes, where all the formats keep their headers. ByteView: little-endian fields of
// untrusted bytes. See docs/architecture.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "shadowmmu/guest_memory.h"

namespace ringshift {

// Is [start, start + length) inside [0, limit)? No sum that could wrap.
[[nodiscard]] constexpr bool range_fits(uint64_t start, uint64_t length, uint64_t limit) {
  return start <= limit && length <= limit - start;
}

[[nodiscard]] constexpr uint64_t round_up_to_page(uint64_t value) {
  return (value + 0xfffU) & ~uint64_t{0xfff};
}

// Fields that lie outside are zero: a loader checks has() where zero would mean something.
class ByteView {
 public:
  explicit ByteView(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] uint64_t size() const { return bytes_.size(); }
  [[nodiscard]] bool has(uint64_t offset, uint64_t length) const {
    return range_fits(offset, length, bytes_.size());
  }
  [[nodiscard]] uint8_t u8(uint64_t offset) const { return static_cast<uint8_t>(field(offset, 1)); }
  [[nodiscard]] uint16_t u16(uint64_t offset) const {
    return static_cast<uint16_t>(field(offset, 2));
  }
  [[nodiscard]] uint32_t u32(uint64_t offset) const {
    return static_cast<uint32_t>(field(offset, 4));
  }
  [[nodiscard]] uint64_t u64(uint64_t offset) const { return field(offset, 8); }
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  [[nodiscard]] uint64_t field(uint64_t offset, unsigned width) const;
  std::span<const uint8_t> bytes_;
};

class BootImage {
 public:
  enum class EmptyFile : uint8_t { Refused, Allowed };
  // Opens a regular file of at most max_bytes; null and one line otherwise.
  static std::unique_ptr<BootImage> open(const std::string& path, uint64_t max_bytes,
                                         std::string* error, EmptyFile empty = EmptyFile::Refused);
  ~BootImage();
  BootImage(const BootImage&) = delete;
  BootImage& operator=(const BootImage&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  // The first bytes of the file: all of it, or kHeadBytes.
  [[nodiscard]] ByteView head() const { return ByteView(head_); }
  // Copies [offset, offset + length) of the file into RAM at `address`. Empty on success, otherwise
  // the mistake. Both ranges are checked here, even if the caller has checked them.
  [[nodiscard]] std::string load(uint64_t offset, uint64_t length, GuestMemory& memory,
                                 GuestPhysical address) const;

  static constexpr uint64_t kHeadBytes = 65536;

 private:
  BootImage() = default;
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> destination) const;
  std::string path_;
  std::vector<uint8_t> head_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace ringshift

// CodeBytes: the bytes of a page of RAM from which code was translated, a bit each. A value.
// Generated stores read it, and may go to all other bytes (Frame::code_bytes). Keeps: M2.
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/base/address.h"

namespace ringshift {

class CodeBytes {
 public:
  // Both: offsets in the page; what lies beyond its end is left out. length: at most a page.
  void add(uint32_t first, uint32_t length) {
    for (uint32_t byte = first; byte < first + length && byte < kPageSize;) {
      if (byte % 8 == 0 && first + length - byte >= 8 && kPageSize - byte >= 8) {
        bits_[byte / 8] = 0xff;
        byte += 8;
      } else {
        bits_[byte / 8] = static_cast<uint8_t>(bits_[byte / 8] | 1U << byte % 8);
        ++byte;
      }
    }
  }
  [[nodiscard]] bool has_any(uint32_t first, uint32_t length) const {
    for (uint32_t byte = first; byte < first + length && byte < kPageSize; ++byte) {
      if ((bits_[byte / 8] & 1U << byte % 8) != 0) return true;
    }
    return false;
  }
  void clear() { bits_.fill(0); }

  // Generated code loads 32 bits from this address plus the linear address of a byte over 8, for a
  // page at `page`.
  [[nodiscard]] uint64_t base_for(GuestVirtualPage page) const {
    return reinterpret_cast<uint64_t>(bits_.data()) - page.address().value() / 8;
  }

 private:
  static constexpr size_t kBeyond = sizeof(uint32_t) - 1;  // of a load from the last byte
  std::array<uint8_t, kPageSize / 8 + kBeyond> bits_{};
};

}  // namespace ringshift

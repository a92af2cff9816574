// Host bytes: copies of guest data in which 1, 2, 4 and 8 bytes move as one host load or store. A
// guest's aligned store is seen whole by every other reader of the page (SDM 3A 8.1.1); memcpy does
// not promise that, a volatile access of the exact width does.
#pragma once

#include <cstdint>
#include <cstring>

namespace ringshift {

using Unaligned16 [[gnu::aligned(1), gnu::may_alias]] = uint16_t;
using Unaligned32 [[gnu::aligned(1), gnu::may_alias]] = uint32_t;
using Unaligned64 [[gnu::aligned(1), gnu::may_alias]] = uint64_t;

// Copies `length` bytes from host memory the guest shares (`shared`) to private memory.
[[gnu::always_inline]] inline void load_bytes(void* to, const void* shared, uint32_t length) {
  switch (length) {
    case 1:
      *static_cast<uint8_t*>(to) = *static_cast<const volatile uint8_t*>(shared);
      return;
    case 2:
      *static_cast<Unaligned16*>(to) = *static_cast<const volatile Unaligned16*>(shared);
      return;
    case 4:
      *static_cast<Unaligned32*>(to) = *static_cast<const volatile Unaligned32*>(shared);
      return;
    case 8:
      *static_cast<Unaligned64*>(to) = *static_cast<const volatile Unaligned64*>(shared);
      return;
    default:
      std::memcpy(to, shared, length);
  }
}

// The other direction: into memory the guest shares.
[[gnu::always_inline]] inline void store_bytes(void* shared, const void* from, uint32_t length) {
  switch (length) {
    case 1:
      *static_cast<volatile uint8_t*>(shared) = *static_cast<const uint8_t*>(from);
      return;
    case 2:
      *static_cast<volatile Unaligned16*>(shared) = *static_cast<const Unaligned16*>(from);
      return;
    case 4:
      *static_cast<volatile Unaligned32*>(shared) = *static_cast<const Unaligned32*>(from);
      return;
    case 8:
      *static_cast<volatile Unaligned64*>(shared) = *static_cast<const Unaligned64*>(from);
      return;
    default:
      std::memcpy(shared, from, length);
  }
}

}  // namespace ringshift

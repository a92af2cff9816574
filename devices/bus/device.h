// PortDevice / MemoryDevice: a device as the buses see it. Two methods each, and no more. Offsets
// are relative to the start of the claimed range. See docs/devices.md.
#pragma once

#include <cstdint>

namespace ringshift {

enum class AccessWidth : uint8_t { Byte = 1, Word = 2, Dword = 4 };

class PortDevice {
 public:
  using Offset = uint16_t;
  virtual ~PortDevice() = default;
  // offset: port number minus the first claimed port. The value's low `width` bytes count.
  [[nodiscard]] virtual uint32_t read(Offset offset, AccessWidth width) = 0;
  virtual void write(Offset offset, AccessWidth width, uint32_t value) = 0;
};

class MemoryDevice {
 public:
  using Offset = uint64_t;
  virtual ~MemoryDevice() = default;
  // offset: bytes from the start of the claimed guest-physical range.
  [[nodiscard]] virtual uint32_t read(Offset offset, AccessWidth width) = 0;
  virtual void write(Offset offset, AccessWidth width, uint32_t value) = 0;
  // The bytes that read() and write() would reach, from offset 0 on, if such an access has no other
  // effect: a caller that has the pointer may do without the call. They stay until the range is
  // released.
  [[nodiscard]] virtual const uint8_t* readable_bytes() const { return nullptr; }
  [[nodiscard]] virtual uint8_t* writable_bytes() { return nullptr; }
};

}  // namespace ringshift

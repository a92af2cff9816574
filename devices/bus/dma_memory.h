// DmaMemory: guest RAM as a bus master reaches it. The watcher of a page is told of writes (M2);
// GuestMemory itself does not do that. Addresses beyond RAM read all ones and swallow writes.
// Implemented by: PhysicalMemory, tests. See docs/devices.md.
#pragma once

#include <cstdint>
#include <span>

namespace ringshift {

class DmaMemory {
 public:
  virtual ~DmaMemory() = default;
  virtual void read_ram(uint64_t address, std::span<uint8_t> bytes) = 0;
  virtual void write_ram(uint64_t address, std::span<const uint8_t> bytes) = 0;
};

}  // namespace ringshift

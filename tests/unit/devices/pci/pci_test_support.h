// Helpers of the PCI device tests: configuration by ports, and guest RAM that notes who writes it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/bus/dma_memory.h"

namespace ringshift {

class VectorMemory final : public DmaMemory {
 public:
  explicit VectorMemory(size_t size) : bytes(size) {}
  void read_ram(uint64_t address, std::span<uint8_t> to) override {
    for (size_t i = 0; i < to.size(); ++i) {
      to[i] = address + i < bytes.size() ? bytes[address + i] : 0xff;
    }
  }
  void write_ram(uint64_t address, std::span<const uint8_t> from) override {
    for (size_t i = 0; i < from.size() && address + i < bytes.size(); ++i) {
      bytes[address + i] = from[i];
    }
  }
  std::vector<uint8_t> bytes;
};

inline uint32_t config_address(unsigned slot, unsigned function, unsigned offset) {
  return 0x80000000U | slot << 11 | function << 8 | (offset & 0xfcU);
}

inline uint32_t read_config(PortBus& ports, unsigned slot, unsigned function, unsigned offset,
                            AccessWidth width) {
  ports.write(0xcf8, AccessWidth::Dword, config_address(slot, function, offset));
  return ports.read(static_cast<uint16_t>(0xcfc + (offset & 3U)), width);
}

inline void write_config(PortBus& ports, unsigned slot, unsigned function, unsigned offset,
                         AccessWidth width, uint32_t value) {
  ports.write(0xcf8, AccessWidth::Dword, config_address(slot, function, offset));
  ports.write(static_cast<uint16_t>(0xcfc + (offset & 3U)), width, value);
}

}  // namespace ringshift

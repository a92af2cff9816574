// GuestArea: a structure in RAM that the guest has named by its physical address, and that the
// monitor writes. The address is the guest's word: nothing is written unless all of the structure
// is RAM. Owns: the address. Writes go through PhysicalMemory, so that code and page tables there
// are noticed (M2).
#pragma once

#include <cstdint>
#include <span>

#include "monitor/memory/physical_memory.h"

namespace ringshift {

class GuestArea {
 public:
  GuestArea(PhysicalMemory& memory, uint64_t address, uint32_t bytes)
      : memory_(memory), address_(address), bytes_(bytes) {}

  // Is all of it RAM, with no device in the place of any? It may lie in two pages.
  [[nodiscard]] bool is_ram() const;
  // Call between two instructions of the guest: odd versions mean that the area is being written
  // (msr.rst). `content` begins at `offset`; the version is the four bytes at `version_at`. False:
  // it is not RAM, and nothing has been written.
  bool write_versioned(uint32_t version_at, uint32_t offset, std::span<const uint8_t> content);
  // Eight bytes at once.
  bool write_number(uint32_t offset, uint64_t number);

 private:
  [[nodiscard]] GuestPhysical at(uint32_t offset) const { return GuestPhysical(address_ + offset); }
  void write32(uint32_t offset, uint32_t number) {
    memory_.write(at(offset), &number, sizeof number);
  }

  PhysicalMemory& memory_;
  uint64_t address_;
  uint32_t bytes_;
};

}  // namespace ringshift

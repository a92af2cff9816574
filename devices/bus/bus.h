// PortBus / MemoryBus: ranges of ports and guest-physical memory, and the device behind each (D1).
// Owns: the range tables, not the devices. Unclaimed reads are all ones, counted. See
// docs/devices.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "devices/bus/device.h"
#include "devices/bus/range_table.h"
#include "shadowmmu/base/address.h"

namespace ringshift {

// An observer that is told of every access, for code that records a run. Ports and addresses as the
// CPU gave them.
class BusTap {
 public:
  virtual ~BusTap() = default;
  virtual void on_read(uint64_t address, AccessWidth width, uint64_t value) = 0;
  virtual void on_write(uint64_t address, AccessWidth width, uint64_t value) = 0;
};

class PortBus {
 public:
  // Claims [first, first+count), and gets the addresses of it that no lower rank has
  // (range_table.h). Returns false (and changes nothing) if the range is none, or a claim of the
  // same rank overlaps it.
  [[nodiscard]] bool claim(uint16_t first, uint32_t count, PortDevice& device, std::string name,
                           DecodeRank rank = DecodeRank::Board);
  // Gives back the range of that rank that begins at `first`. Pre: it was claimed.
  void release(uint16_t first, DecodeRank rank = DecodeRank::Board);
  // An access wider than the owner's range is split into bytes, as the ISA bus splits it.
  [[nodiscard]] uint32_t read(uint16_t port, AccessWidth width);
  void write(uint16_t port, AccessWidth width, uint32_t value);
  void set_tap(BusTap* tap) { tap_ = tap; }
  // The first port and the number of each range that one device answers at, and its name.
  void for_each_range(
      const std::function<void(uint16_t, uint32_t, const std::string&)>& visit) const;

 private:
  BusTap* tap_ = nullptr;
  RangeTable<PortDevice> ranges_;
};

class MemoryBus {
 public:
  [[nodiscard]] bool claim(GuestPhysical first, uint64_t bytes, MemoryDevice& device,
                           std::string name, DecodeRank rank = DecodeRank::Board);
  void release(GuestPhysical first, DecodeRank rank = DecodeRank::Board);
  // RAM is there from 0 to its size, and answers before PCI does.
  void set_ram_size(uint64_t bytes) { ranges_.hide_pci_below(bytes); }
  // The bytes of the page at `page`, where the device that has all of it lets them be read, or
  // written, without a call (device.h); otherwise null.
  [[nodiscard]] const uint8_t* readable_page(GuestPhysical page) const;
  [[nodiscard]] uint8_t* writable_page(GuestPhysical page) const;
  // Is any byte of [address, address+1) claimed by a device?
  [[nodiscard]] bool claims(GuestPhysical address) const;
  [[nodiscard]] uint32_t read(GuestPhysical address, AccessWidth width);
  void write(GuestPhysical address, AccessWidth width, uint32_t value);
  void set_tap(BusTap* tap) { tap_ = tap; }
  // The same of memory.
  void for_each_range(
      const std::function<void(GuestPhysical, uint64_t, const std::string&)>& visit) const;

 private:
  BusTap* tap_ = nullptr;
  using Piece = RangeTable<MemoryDevice>::Piece;
  [[nodiscard]] const Piece* find(GuestPhysical address) const {
    return ranges_.find(address.value());
  }
  [[nodiscard]] const Piece* find_page(GuestPhysical page) const;
  RangeTable<MemoryDevice> ranges_;
};

}  // namespace ringshift

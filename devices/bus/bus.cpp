#include "devices/bus/bus.h"

#include <utility>

#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

constexpr uint32_t kPortCount = 0x10000;

uint32_t all_ones(AccessWidth width) {
  return width == AccessWidth::Dword ? ~uint32_t{0}
                                     : (uint32_t{1} << (8 * static_cast<unsigned>(width))) - 1;
}

uint8_t byte_of(uint32_t value, uint32_t index) {
  return static_cast<uint8_t>(value >> (8 * index));
}

// Finds the device of an access: the one that has all of its bytes; otherwise each byte reaches its
// own device, as the ISA bus splits the access. Nothing decodes past the last port or address.
template <typename Device>
uint32_t read_devices(const RangeTable<Device>& ranges, uint64_t address, AccessWidth width) {
  using Offset = typename Device::Offset;
  const auto bytes = static_cast<uint32_t>(width);
  const auto* whole = ranges.find(address);
  if (whole != nullptr && whole->end() - address >= bytes) {
    const auto offset = static_cast<Offset>(address - whole->claim->first);
    return whole->claim->device->read(offset, width) & all_ones(width);
  }
  uint32_t value = 0;
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    const auto* piece = ranges.find(address + i);
    uint32_t byte = 0xff;
    if (piece != nullptr) {
      const auto offset = static_cast<Offset>(address + i - piece->claim->first);
      byte = piece->claim->device->read(offset, AccessWidth::Byte) & 0xff;
    } else {
      unclaimed = true;
    }
    value |= byte << (8 * i);
  }
  if (unclaimed) ++counters().io_unclaimed;
  return value;
}

template <typename Device>
void write_devices(const RangeTable<Device>& ranges, uint64_t address, AccessWidth width,
                   uint32_t value) {
  using Offset = typename Device::Offset;
  const auto bytes = static_cast<uint32_t>(width);
  const auto* whole = ranges.find(address);
  if (whole != nullptr && whole->end() - address >= bytes) {
    const auto offset = static_cast<Offset>(address - whole->claim->first);
    whole->claim->device->write(offset, width, value & all_ones(width));
    return;
  }
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    const auto* piece = ranges.find(address + i);
    if (piece != nullptr) {
      const auto offset = static_cast<Offset>(address + i - piece->claim->first);
      piece->claim->device->write(offset, AccessWidth::Byte, byte_of(value, i));
    } else {
      unclaimed = true;
    }
  }
  if (unclaimed) ++counters().io_unclaimed;
}

}  // namespace

bool PortBus::claim(uint16_t first, uint32_t count, PortDevice& device, std::string name,
                    DecodeRank rank) {
  if (count == 0 || uint32_t{first} + count > kPortCount) return false;
  return ranges_.claim({first, count, &device, std::move(name), rank});
}

void PortBus::release(uint16_t first, DecodeRank rank) { ranges_.release(first, rank); }

uint32_t PortBus::read(uint16_t port, AccessWidth width) {
  ++counters().io_port_reads;
  const uint32_t value = read_devices(ranges_, port, width);
  if (tap_ != nullptr) tap_->on_read(port, width, value);
  return value;
}

void PortBus::write(uint16_t port, AccessWidth width, uint32_t value) {
  ++counters().io_port_writes;
  if (tap_ != nullptr) tap_->on_write(port, width, value);
  write_devices(ranges_, port, width, value);
}

void PortBus::for_each_range(
    const std::function<void(uint16_t, uint32_t, const std::string&)>& visit) const {
  for (const auto& piece : ranges_.pieces()) {
    visit(static_cast<uint16_t>(piece.first), static_cast<uint32_t>(piece.bytes),
          piece.claim->name);
  }
}

bool MemoryBus::claim(GuestPhysical first, uint64_t bytes, MemoryDevice& device, std::string name,
                      DecodeRank rank) {
  if (bytes == 0 || first.value() + bytes < first.value()) return false;
  return ranges_.claim({first.value(), bytes, &device, std::move(name), rank});
}

void MemoryBus::release(GuestPhysical first, DecodeRank rank) {
  ranges_.release(first.value(), rank);
}

const MemoryBus::Piece* MemoryBus::find_page(GuestPhysical page) const {
  const Piece* piece = find(page);
  return piece != nullptr && piece->end() - page.value() >= kPageSize ? piece : nullptr;
}

const uint8_t* MemoryBus::readable_page(GuestPhysical page) const {
  const Piece* piece = find_page(page);
  const uint8_t* bytes = piece != nullptr ? piece->claim->device->readable_bytes() : nullptr;
  return bytes != nullptr ? bytes + (page.value() - piece->claim->first) : nullptr;
}

uint8_t* MemoryBus::writable_page(GuestPhysical page) const {
  const Piece* piece = find_page(page);
  uint8_t* bytes = piece != nullptr ? piece->claim->device->writable_bytes() : nullptr;
  return bytes != nullptr ? bytes + (page.value() - piece->claim->first) : nullptr;
}

bool MemoryBus::claims(GuestPhysical address) const { return find(address) != nullptr; }

void MemoryBus::for_each_range(
    const std::function<void(GuestPhysical, uint64_t, const std::string&)>& visit) const {
  for (const Piece& piece : ranges_.pieces()) {
    visit(GuestPhysical(piece.first), piece.bytes, piece.claim->name);
  }
}

uint32_t MemoryBus::read(GuestPhysical address, AccessWidth width) {
  ++counters().io_memory_accesses;
  const uint32_t value = read_devices(ranges_, address.value(), width);
  if (tap_ != nullptr) tap_->on_read(address.value(), width, value);
  return value;
}

void MemoryBus::write(GuestPhysical address, AccessWidth width, uint32_t value) {
  ++counters().io_memory_accesses;
  if (tap_ != nullptr) tap_->on_write(address.value(), width, value);
  write_devices(ranges_, address.value(), width, value);
}

}  // namespace ringshift

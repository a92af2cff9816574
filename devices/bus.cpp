#include "devices/bus.h"

#include <utility>

#include "shadowmmu/base/check.h"
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

}  // namespace

bool PortBus::claim(uint16_t first, uint32_t count, PortDevice& device, std::string name) {
  if (count == 0 || uint32_t{first} + count > kPortCount) return false;
  auto next = ranges_.lower_bound(first);
  if (next != ranges_.end() && next->first < first + count) return false;
  if (find(first) != nullptr) return false;
  ranges_.emplace(first, Range{first, count, &device, std::move(name)});
  return true;
}

void PortBus::release(uint16_t first) { CHECK(ranges_.erase(first) == 1); }

const PortBus::Range* PortBus::find(uint16_t port) const {
  auto after = ranges_.upper_bound(port);
  if (after == ranges_.begin()) return nullptr;
  const Range& range = std::prev(after)->second;
  return port - uint32_t{range.first} < range.count ? &range : nullptr;
}

uint32_t PortBus::read(uint16_t port, AccessWidth width) {
  ++counters().io_port_reads;
  const uint32_t value = read_devices(port, width);
  if (tap_ != nullptr) tap_->on_read(port, width, value);
  return value;
}

uint32_t PortBus::read_devices(uint16_t port, AccessWidth width) {
  const auto bytes = static_cast<uint32_t>(width);
  if (const Range* range = find(port); range != nullptr) {
    const auto offset = static_cast<uint16_t>(port - range->first);
    if (offset + bytes <= range->count) return range->device->read(offset, width) & all_ones(width);
  }
  uint32_t value = 0;
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    // Nothing decodes past the last port; the address does not wrap to port 0.
    const uint32_t at = port + i;
    const Range* range = at < kPortCount ? find(static_cast<uint16_t>(at)) : nullptr;
    uint32_t byte = 0xff;
    if (range != nullptr) {
      byte =
          range->device->read(static_cast<uint16_t>(at - range->first), AccessWidth::Byte) & 0xff;
    } else {
      unclaimed = true;
    }
    value |= byte << (8 * i);
  }
  if (unclaimed) ++counters().io_unclaimed;
  return value;
}

void PortBus::write(uint16_t port, AccessWidth width, uint32_t value) {
  ++counters().io_port_writes;
  if (tap_ != nullptr) tap_->on_write(port, width, value);
  const auto bytes = static_cast<uint32_t>(width);
  if (const Range* range = find(port); range != nullptr) {
    const auto offset = static_cast<uint16_t>(port - range->first);
    if (offset + bytes <= range->count) {
      range->device->write(offset, width, value & all_ones(width));
      return;
    }
  }
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    const uint32_t at = port + i;
    const Range* range = at < kPortCount ? find(static_cast<uint16_t>(at)) : nullptr;
    if (range != nullptr) {
      range->device->write(static_cast<uint16_t>(at - range->first), AccessWidth::Byte,
                           byte_of(value, i));
    } else {
      unclaimed = true;
    }
  }
  if (unclaimed) ++counters().io_unclaimed;
}

void PortBus::for_each_range(
    const std::function<void(uint16_t, uint32_t, const std::string&)>& visit) const {
  for (const auto& [first, range] : ranges_) visit(first, range.count, range.name);
}

bool MemoryBus::claim(GuestPhysical first, uint64_t bytes, MemoryDevice& device, std::string name) {
  if (bytes == 0 || first.value() + bytes < first.value()) return false;
  auto next = ranges_.lower_bound(first);
  if (next != ranges_.end() && next->first - first < bytes) return false;
  if (find(first) != nullptr) return false;
  ranges_.emplace(first, Range{first, bytes, &device, std::move(name)});
  return true;
}

void MemoryBus::release(GuestPhysical first) { CHECK(ranges_.erase(first) == 1); }

const MemoryBus::Range* MemoryBus::find_page(GuestPhysical page) const {
  const Range* range = find(page);
  return range != nullptr && range->bytes - (page - range->first) >= kPageSize ? range : nullptr;
}

const uint8_t* MemoryBus::readable_page(GuestPhysical page) const {
  const Range* range = find_page(page);
  const uint8_t* bytes = range != nullptr ? range->device->readable_bytes() : nullptr;
  return bytes != nullptr ? bytes + (page - range->first) : nullptr;
}

uint8_t* MemoryBus::writable_page(GuestPhysical page) const {
  const Range* range = find_page(page);
  uint8_t* bytes = range != nullptr ? range->device->writable_bytes() : nullptr;
  return bytes != nullptr ? bytes + (page - range->first) : nullptr;
}

const MemoryBus::Range* MemoryBus::find(GuestPhysical address) const {
  auto after = ranges_.upper_bound(address);
  if (after == ranges_.begin()) return nullptr;
  const Range& range = std::prev(after)->second;
  return address - range.first < range.bytes ? &range : nullptr;
}

bool MemoryBus::claims(GuestPhysical address) const { return find(address) != nullptr; }

void MemoryBus::for_each_range(
    const std::function<void(GuestPhysical, uint64_t, const std::string&)>& visit) const {
  for (const auto& [first, range] : ranges_) visit(first, range.bytes, range.name);
}

uint32_t MemoryBus::read(GuestPhysical address, AccessWidth width) {
  ++counters().io_memory_accesses;
  const uint32_t value = read_device(address, width);
  if (tap_ != nullptr) tap_->on_read(address.value(), width, value);
  return value;
}

uint32_t MemoryBus::read_device(GuestPhysical address, AccessWidth width) {
  const auto bytes = static_cast<uint32_t>(width);
  if (const Range* range = find(address); range != nullptr) {
    const uint64_t offset = address - range->first;
    if (range->bytes - offset >= bytes) return range->device->read(offset, width) & all_ones(width);
  }
  uint32_t value = 0;
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    const GuestPhysical at = address + i;
    const Range* range = find(at);
    uint32_t byte = 0xff;
    if (range != nullptr) {
      byte = range->device->read(at - range->first, AccessWidth::Byte) & 0xff;
    } else {
      unclaimed = true;
    }
    value |= byte << (8 * i);
  }
  if (unclaimed) ++counters().io_unclaimed;
  return value;
}

void MemoryBus::write(GuestPhysical address, AccessWidth width, uint32_t value) {
  ++counters().io_memory_accesses;
  if (tap_ != nullptr) tap_->on_write(address.value(), width, value);
  const auto bytes = static_cast<uint32_t>(width);
  if (const Range* range = find(address); range != nullptr) {
    const uint64_t offset = address - range->first;
    if (range->bytes - offset >= bytes) {
      range->device->write(offset, width, value & all_ones(width));
      return;
    }
  }
  bool unclaimed = false;
  for (uint32_t i = 0; i < bytes; ++i) {
    const GuestPhysical at = address + i;
    const Range* range = find(at);
    if (range != nullptr) {
      range->device->write(at - range->first, AccessWidth::Byte, byte_of(value, i));
    } else {
      unclaimed = true;
    }
  }
  if (unclaimed) ++counters().io_unclaimed;
}

}  // namespace ringshift

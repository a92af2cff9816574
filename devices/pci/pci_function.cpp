#include "devices/pci/pci_function.h"

#include <bit>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kPortBar = 1;    // bit 0 of a base address register
constexpr uint32_t kRomEnable = 1;  // bit 0 of the expansion ROM's
constexpr uint32_t kPortLimit = 0x10000;

}  // namespace

PciFunction::PciFunction(PciBuses& buses, const PciIdentity& identity, std::string name)
    : buses_(buses), name_(std::move(name)) {
  set_config_word(0x00, identity.vendor);
  set_config_word(0x02, identity.device);
  config_[0x08] = identity.revision;
  config_[0x09] = static_cast<uint8_t>(identity.class_code);
  config_[0x0a] = static_cast<uint8_t>(identity.class_code >> 8);
  config_[0x0b] = static_cast<uint8_t>(identity.class_code >> 16);
  set_config_word(0x2c, identity.subsystem_vendor);
  set_config_word(0x2e, identity.subsystem);
  config_[0x3d] = identity.interrupt_pin;
  writable_[kCommand] = kCommandIo | kCommandMemory | kCommandMaster;
  writable_[kCommand + 1] = 0x04;  // interrupt disable
  writable_[0x0c] = 0xff;          // cache line size
  writable_[0x0d] = 0xff;          // latency timer
  writable_[kInterruptLine] = 0xff;
}

void PciFunction::set_config_word(unsigned offset, uint16_t value) {
  config_[offset] = static_cast<uint8_t>(value);
  config_[offset + 1] = static_cast<uint8_t>(value >> 8);
}

uint32_t PciFunction::read_config(unsigned offset, AccessWidth width) {
  before_config_read(offset, static_cast<unsigned>(width));
  return config_value(offset, width);
}

uint32_t PciFunction::config_value(unsigned offset, AccessWidth width) const {
  uint32_t value = 0;
  for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
    value |= uint32_t{config_[offset + i]} << (8 * i);
  }
  return value;
}

void PciFunction::write_config(unsigned offset, AccessWidth width, uint32_t value) {
  const auto length = static_cast<unsigned>(width);
  for (unsigned i = 0; i < length; ++i) {
    const uint8_t mask = writable_[offset + i];
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    config_[offset + i] = static_cast<uint8_t>((config_[offset + i] & ~mask) | (byte & mask));
  }
  place_ranges();
  on_config_written(offset, length);
}

void PciFunction::add_range(unsigned index, const Range& range) {
  CHECK(index < kRanges && std::has_single_bit(range.bytes) && ranges_[index].bytes == 0);
  ranges_[index] = range;
  // The address bits below the size read zero: that is how software learns the size (6.2.5.1).
  const uint32_t mask = ~(range.bytes - 1);
  const unsigned at = register_of(index);
  for (unsigned i = 0; i < 4; ++i) writable_[at + i] = static_cast<uint8_t>(mask >> (8 * i));
  if (range.ports != nullptr) config_[at] = kPortBar;
  if (index == kRomRange) writable_[at] = kRomEnable;
}

void PciFunction::add_port_range(unsigned bar, uint32_t bytes, PortDevice& device) {
  CHECK(bar < kRomRange && bytes <= 256);
  add_range(bar, Range{.bytes = bytes, .ports = &device});
}

void PciFunction::add_memory_range(unsigned bar, uint32_t bytes, MemoryDevice& device) {
  CHECK(bar < kRomRange && bytes >= kPageSize);
  add_range(bar, Range{.bytes = bytes, .memory = &device});
}

void PciFunction::add_rom(uint32_t bytes, MemoryDevice& device) {
  CHECK(bytes >= kPageSize);
  add_range(kRomRange, Range{.bytes = bytes, .memory = &device});
}

// Where the range is to be decoded now; 0: nowhere.
uint32_t PciFunction::wanted_address(unsigned index) const {
  const Range& range = ranges_[index];
  const uint32_t bar = config_value(register_of(index), AccessWidth::Dword);
  const uint32_t address = bar & ~(range.bytes - 1);
  const uint16_t enable = range.ports != nullptr ? kCommandIo : kCommandMemory;
  if ((config_[kCommand] & enable) == 0) return 0;
  if (index == kRomRange && (bar & kRomEnable) == 0) return 0;
  if (range.ports != nullptr && address > kPortLimit - range.bytes) return 0;
  return address;
}

// No other range has this rank, so that no claim is refused.
void PciFunction::claim(const Range& range, DecodeRank rank) {
  if (range.ports != nullptr) {
    const auto first = static_cast<uint16_t>(range.claimed_at);
    CHECK(buses_.ports.claim(first, range.bytes, *range.ports, name_, rank));
  } else {
    const GuestPhysical first(range.claimed_at);
    CHECK(buses_.memory.claim(first, range.bytes, *range.memory, name_, rank));
  }
}

void PciFunction::release(const Range& range, DecodeRank rank) {
  if (range.ports != nullptr) {
    buses_.ports.release(static_cast<uint16_t>(range.claimed_at), rank);
  } else {
    buses_.memory.release(GuestPhysical(range.claimed_at), rank);
  }
}

// A guest may put a range over any other, for a moment or for good. It stays claimed there, and its
// rank says who answers (D1).
void PciFunction::place_ranges() {
  bool memory_changed = false;
  for (unsigned i = 0; i < kRanges; ++i) {
    Range& range = ranges_[i];
    if (range.bytes == 0) continue;
    const uint32_t wanted = wanted_address(i);
    if (wanted == range.claimed_at) continue;
    if (range.claimed_at != 0) release(range, rank_of(i));
    range.claimed_at = wanted;
    if (wanted != 0) claim(range, rank_of(i));
    memory_changed |= range.memory != nullptr;
  }
  if (memory_changed && buses_.on_memory_map_changed) buses_.on_memory_map_changed();
}

void PciFunction::visit_state(StateArchive& archive) {
  std::array<uint8_t, 256> config = config_;
  archive.numbers("config", config);
  bool is_ours = true;
  for (unsigned i = 0; i < config.size(); ++i) {
    is_ours &= ((config[i] ^ config_[i]) & ~writable_[i]) == 0;
  }
  archive.require(is_ours, "config", "bits that no guest can change are those of another function");
  if (!archive.has_loaded()) return;
  config_ = config;
  place_ranges();
}

}  // namespace ringshift

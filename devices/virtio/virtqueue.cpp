#include "devices/virtio/virtqueue.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kNext = 1, kWritable = 2, kIndirect = 4;  // flags of a descriptor (2.6.5)
constexpr uint16_t kNoInterrupt = 1;                         // of the available ring (2.6.6)
constexpr uint64_t kDescriptorBytes = 16, kUsedElementBytes = 8;
// A ring begins with flags and a count; an event index of two bytes ends it (2.6.6, 2.6.8).
constexpr uint64_t kCountAt = 2, kEntriesAt = 4, kEventBytes = 2;
constexpr uint64_t kLegacyAlignment = 4096;

}  // namespace

Virtqueue::Virtqueue(DmaMemory& memory, uint64_t ram_bytes, uint16_t most_entries)
    : memory_(memory), ram_bytes_(ram_bytes), most_entries_(most_entries), size_(most_entries) {
  CHECK(std::has_single_bit(most_entries) && most_entries <= kMostDescriptors);
}

void Virtqueue::reset() {
  enabled_ = legacy_ = false;
  size_ = most_entries_;
  std::fill(std::begin(addresses_), std::end(addresses_), 0);
  next_available_ = next_used_ = told_used_ = 0;
}

void Virtqueue::set_size(uint16_t size) {
  if (std::has_single_bit(size) && size <= most_entries_) size_ = size;
}

void Virtqueue::set_features(bool indirect, bool event_index) {
  indirect_ = indirect;
  event_index_ = event_index;
}

bool Virtqueue::enable() {
  const uint64_t entries = size_;
  enabled_ = is_in_ram(address(Ring::Descriptors), kDescriptorBytes * entries) &&
             is_in_ram(address(Ring::Available), kEntriesAt + 2 * entries + kEventBytes) &&
             is_in_ram(address(Ring::Used), kEntriesAt + kUsedElementBytes * entries + kEventBytes);
  return enabled_;
}

bool Virtqueue::enable_legacy(uint32_t page_frame) {
  legacy_ = true;
  const uint64_t descriptors = uint64_t{page_frame} * kLegacyAlignment;
  const uint64_t available = descriptors + kDescriptorBytes * size_;
  const uint64_t end = available + kEntriesAt + 2 * uint64_t{size_} + kEventBytes;
  set_address(Ring::Descriptors, descriptors);
  set_address(Ring::Available, available);
  set_address(Ring::Used, (end + kLegacyAlignment - 1) / kLegacyAlignment * kLegacyAlignment);
  return enable();
}

uint16_t Virtqueue::read_word(uint64_t address) const {
  std::array<uint8_t, 2> bytes{};
  memory_.read_ram(address, bytes);
  return static_cast<uint16_t>(number_at(bytes, 0, 2));
}

void Virtqueue::write_word(uint64_t address, uint16_t value) {
  const std::array<uint8_t, 2> bytes{static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8)};
  memory_.write_ram(address, bytes);
}

Virtqueue::Descriptor Virtqueue::read_descriptor(uint64_t address) const {
  std::array<uint8_t, kDescriptorBytes> bytes{};
  memory_.read_ram(address, bytes);
  return {.address = number_at(bytes, 0, 8),
          .bytes = static_cast<uint32_t>(number_at(bytes, 8, 4)),
          .flags = static_cast<uint16_t>(number_at(bytes, 12, 2)),
          .next = static_cast<uint16_t>(number_at(bytes, 14, 2))};
}

// The parts that the device reads come before those that it writes (2.6.4.2).
bool Virtqueue::add(const Descriptor& descriptor, DescriptorChain* chain) const {
  const bool is_writable = (descriptor.flags & kWritable) != 0;
  if (!is_in_ram(descriptor.address, descriptor.bytes)) return false;
  if (!is_writable && chain->writable.bytes() != 0) return false;
  (is_writable ? chain->writable : chain->readable).add(descriptor.address, descriptor.bytes);
  return true;
}

// A chain that is longer than any queue has no end. An indirect table ends the chain it is in, and
// has no table within it (2.6.5.3.1).
bool Virtqueue::walk(uint16_t head, DescriptorChain* chain) const {
  uint64_t table = address(Ring::Descriptors);
  uint64_t entries = size_;
  bool is_in_table = false;
  uint64_t index = head;
  for (unsigned seen = 0; seen <= kMostDescriptors; ++seen) {
    if (index >= entries) return false;
    const Descriptor descriptor = read_descriptor(table + kDescriptorBytes * index);
    const bool goes_on = (descriptor.flags & kNext) != 0;
    if ((descriptor.flags & kIndirect) != 0) {
      const bool is_table = descriptor.bytes != 0 && descriptor.bytes % kDescriptorBytes == 0 &&
                            is_in_ram(descriptor.address, descriptor.bytes);
      if (!indirect_ || is_in_table || goes_on || !is_table) return false;
      table = descriptor.address;
      entries = descriptor.bytes / kDescriptorBytes;
      is_in_table = true;
      index = 0;
      continue;
    }
    if (!add(descriptor, chain)) return false;
    if (!goes_on) return true;
    index = descriptor.next;
  }
  return false;
}

bool Virtqueue::has_waiting() {
  return enabled_ && read_word(address(Ring::Available) + kCountAt) != next_available_;
}

Virtqueue::Taken Virtqueue::take(DescriptorChain* chain) {
  CHECK(enabled_);
  chain->readable.clear();
  chain->writable.clear();
  const uint64_t ring = address(Ring::Available);
  const auto waiting = static_cast<uint16_t>(read_word(ring + kCountAt) - next_available_);
  if (waiting == 0) return Taken::None;
  if (waiting > size_) return Taken::Broken;  // more than the ring can hold
  chain->head = read_word(ring + kEntriesAt + uint64_t{2} * (next_available_ % size_));
  if (!walk(chain->head, chain)) return Taken::Broken;
  ++next_available_;
  return Taken::Chain;
}

// A driver is told of 32 bits of how much was written; no chain has more in it than RAM has.
void Virtqueue::give_back(uint16_t head, uint64_t written) {
  CHECK(enabled_);
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  const uint64_t element = uint64_t{head} | std::min(written, kMost) << 32;
  std::array<uint8_t, kUsedElementBytes> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(element >> (8 * i));
  const uint64_t ring = address(Ring::Used);
  memory_.write_ram(ring + kEntriesAt + kUsedElementBytes * (next_used_ % size_), bytes);
  ++next_used_;
  write_word(ring + kCountAt, next_used_);
}

void Virtqueue::ask_for_notification() {
  if (!enabled_ || !event_index_) return;
  write_word(address(Ring::Used) + kEntriesAt + kUsedElementBytes * size_, next_available_);
}

// 2.6.7.1: interrupt if used_event was passed.
bool Virtqueue::wants_interrupt() {
  const uint16_t before = told_used_;
  told_used_ = next_used_;
  if (!enabled_ || before == next_used_) return false;
  const uint64_t ring = address(Ring::Available);
  if (!event_index_) return (read_word(ring) & kNoInterrupt) == 0;
  const uint16_t event = read_word(ring + kEntriesAt + uint64_t{2} * size_);
  return static_cast<uint16_t>(next_used_ - event - 1) < static_cast<uint16_t>(next_used_ - before);
}

void Virtqueue::visit_state(StateArchive& archive) {
  archive.field("enabled", enabled_);
  archive.field("legacy", legacy_);
  archive.field("size", size_, 1, most_entries_);
  archive.require(std::has_single_bit(size_), "size", "it is no power of two");
  archive.numbers("addresses", addresses_);
  archive.field("next available", next_available_);
  archive.field("next used", next_used_);
  archive.field("told used", told_used_);
  if (!enabled_ || !archive.has_loaded()) return;
  archive.require(enable(), "addresses", "they are not in RAM");
}

}  // namespace ringshift

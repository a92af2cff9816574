#include "devices/interrupts/io_apic.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr unsigned kId = 0x00, kVersion = 0x01, kArbitration = 0x02, kFirstEntry = 0x10;
constexpr uint32_t kVersionValue = 0x11 | (IoApic::kInputs - 1) << 16;

// Redirection table entry (82093AA 3.2.4).
constexpr unsigned kModeShift = 8;
constexpr uint64_t kModeFixed = 0, kModeLowest = 1, kModeSmi = 2, kModeNmi = 4, kModeInit = 5;
constexpr uint64_t kLogical = 1U << 11, kRemoteIrr = 1U << 14;
constexpr uint64_t kLevel = 1U << 15;
constexpr uint64_t kWritable = 0xff0000000001afffULL;

constexpr uint64_t kSelect = 0x00, kWindow = 0x10;

}  // namespace

void IoApic::set_input(unsigned input, bool asserted) {
  CHECK(input < kInputs);
  const uint32_t bit = 1U << input;
  const bool was = (levels_ & bit) != 0;
  levels_ = asserted ? levels_ | bit : levels_ & ~bit;
  if (!asserted) return;
  if (was && (entries_[input] & kLevel) == 0) return;  // no edge
  serve(input);
}

// The wires of this board are active high whatever the polarity bit says: who describes an input as
// active low describes the wire on the slot, and means the same state.
void IoApic::serve(unsigned input) {
  uint64_t& entry = entries_[input];
  const bool level = (entry & kLevel) != 0;
  if ((entry & kMasked) != 0 || (level && (entry & kRemoteIrr) != 0)) return;
  const uint64_t mode = entry >> kModeShift & 7;
  const auto destination = static_cast<uint8_t>(entry >> 56);
  const auto how = (entry & kLogical) != 0 ? DestinationMode::Logical : DestinationMode::Physical;
  if (!local_.is_addressed(destination, how)) return;
  if (mode == kModeNmi || mode == kModeSmi || mode == kModeInit) {
    // Edges whatever the trigger bit says (82093AA 3.2.4).
    return local_.deliver_special(static_cast<SpecialMessage>(mode));
  }
  // External interrupts come from the 8259 pair by way of the local APIC only.
  if (mode != kModeFixed && mode != kModeLowest) return;
  const bool heard =
      local_.deliver(static_cast<uint8_t>(entry), level ? TriggerMode::Level : TriggerMode::Edge);
  if (level && heard) entry |= kRemoteIrr;
}

bool IoApic::is_waiting(unsigned input) const {
  CHECK(input < kInputs);
  const uint64_t entry = entries_[input];
  const uint64_t mode = entry >> kModeShift & 7;
  if ((entry & (kMasked | kLevel)) != 0 || (mode != kModeFixed && mode != kModeLowest)) {
    return false;
  }
  return local_.is_requested(static_cast<uint8_t>(entry));
}

void IoApic::end_of_interrupt(uint8_t vector) {
  for (unsigned input = 0; input < kInputs; ++input) {
    uint64_t& entry = entries_[input];
    if ((entry & kRemoteIrr) == 0 || static_cast<uint8_t>(entry) != vector) continue;
    entry &= ~kRemoteIrr;
    if ((levels_ >> input & 1) != 0) serve(input);
  }
}

uint32_t IoApic::read(uint64_t offset, AccessWidth width) {
  const uint64_t reg = offset & ~uint64_t{3};
  const uint32_t value = reg == kSelect ? selected_ : reg == kWindow ? read_register() : 0;
  return value >> 8 * (offset & 3) & ~uint32_t{0} >> (32 - 8 * static_cast<unsigned>(width));
}

void IoApic::write(uint64_t offset, AccessWidth width, uint32_t value) {
  if (offset == kSelect) {
    selected_ = value & 0xff;
  } else if (offset == kWindow && width == AccessWidth::Dword) {
    write_register(value);
  }
}

uint32_t IoApic::read_register() const {
  switch (selected_) {
    case kId:
    case kArbitration:
      return id_;
    case kVersion:
      return kVersionValue;
    default:
      break;
  }
  if (selected_ < kFirstEntry || selected_ >= kFirstEntry + 2 * kInputs) return 0;
  const unsigned index = selected_ - kFirstEntry;
  return static_cast<uint32_t>(entries_[index / 2] >> 32 * (index % 2));
}

void IoApic::write_register(uint32_t value) {
  if (selected_ == kId) id_ = value & 0x0f000000;
  if (selected_ < kFirstEntry || selected_ >= kFirstEntry + 2 * kInputs) return;
  const unsigned index = selected_ - kFirstEntry;
  write_entry(index / 2, index % 2, value);
}

void IoApic::write_entry(unsigned input, unsigned half, uint32_t value) {
  uint64_t& entry = entries_[input];
  const uint64_t field = uint64_t{0xffffffff} << 32 * half;
  const uint64_t changed = kWritable & field;
  entry = (entry & ~changed) | (uint64_t{value} << 32 * half & changed);
  // An input that is edge-triggered waits for no end (82093AA 3.2.4, remote IRR).
  if ((entry & kLevel) == 0) entry &= ~kRemoteIrr;
  if ((entry & kLevel) != 0 && (levels_ >> input & 1) != 0) serve(input);
}

void IoApic::visit_state(StateArchive& archive) {
  archive.numbers("entries", entries_);
  archive.field("levels", levels_);
  archive.field("selected", selected_, 0, 0xff);
  archive.field("id", id_);
}

}  // namespace ringshift

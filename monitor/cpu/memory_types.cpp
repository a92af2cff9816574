#include "monitor/cpu/memory_types.h"

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kCapabilities = 0xfe, kFirstVariable = 0x200, kDefault = 0x2ff;
constexpr std::array<uint32_t, 11> kFixed{0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                          0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
// Fixed ranges, write combining.
constexpr uint64_t kCapabilitiesValue = MemoryTypes::kRanges | 1U << 8 | 1U << 10;
constexpr uint64_t kEnabled = 1U << 11, kFixedEnabled = 1U << 10, kWriteBack = 6;
constexpr uint64_t kAddressBits = 0xffffff000;  // MAXPHYADDR is 36
constexpr uint64_t kValid = 1U << 11;

// Types 2 and 3 are reserved (SDM 3A table 11-8).
bool is_type(uint64_t value) { return value <= 6 && value != 2 && value != 3; }

bool is_variable(uint32_t index) {
  return index >= kFirstVariable && index < kFirstVariable + 2 * MemoryTypes::kRanges;
}

bool may_hold(uint32_t index, uint64_t value) {
  if (index == kDefault) {
    return (value & ~(kEnabled | kFixedEnabled | 0xff)) == 0 && is_type(value & 0xff);
  }
  if (is_variable(index)) {
    const bool mask = index % 2 != 0;
    return mask ? (value & ~(kAddressBits | kValid)) == 0
                : (value & ~(kAddressBits | 0xff)) == 0 && is_type(value & 0xff);
  }
  for (unsigned i = 0; i < 8; ++i) {
    if (!is_type(value >> 8 * i & 0xff)) return false;
  }
  return true;
}

}  // namespace

uint64_t* MemoryTypes::find(uint32_t index) {
  if (index == kDefault) return &default_;
  if (is_variable(index)) return &variable_.at(index - kFirstVariable);
  for (unsigned i = 0; i < kFixed.size(); ++i) {
    if (kFixed.at(i) == index) return &fixed_.at(i);
  }
  return nullptr;
}

std::optional<uint64_t> MemoryTypes::read(uint32_t index) {
  if (index == kCapabilities) return kCapabilitiesValue;
  const uint64_t* found = find(index);
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

bool MemoryTypes::write(uint32_t index, uint64_t value) {
  uint64_t* const found = find(index);
  if (found == nullptr || !may_hold(index, value)) return false;
  *found = value;
  return true;
}

void MemoryTypes::set_up() {
  constexpr uint64_t kAllWriteBack = 0x0606060606060606;
  constexpr unsigned kDisplayMemory = 2;  // 0xa0000 to 0xbffff
  constexpr uint64_t kDevices = 0xe0000000, kHalfGigabyte = 0xfe0000000;
  default_ = kEnabled | kFixedEnabled | kWriteBack;
  fixed_.fill(kAllWriteBack);
  fixed_[kDisplayMemory] = 0;
  variable_[0] = kDevices;
  variable_[1] = kHalfGigabyte | kValid;
}

void MemoryTypes::visit_state(StateArchive& archive) {
  archive.numbers("variable", variable_);
  archive.numbers("fixed", fixed_);
  archive.field("default", default_);
  for (uint32_t i = 0; i < variable_.size(); ++i) {
    archive.require(may_hold(kFirstVariable + i, variable_.at(i)), "variable",
                    "it is no such range");
  }
  for (uint32_t i = 0; i < fixed_.size(); ++i) {
    archive.require(may_hold(kFixed.at(i), fixed_.at(i)), "fixed", "one is no type of memory");
  }
  archive.require(may_hold(kDefault, default_), "default", "it is no type of memory");
}

}  // namespace ringshift

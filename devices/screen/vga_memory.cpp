#include "devices/screen/vga_memory.h"

#include <algorithm>
#include <bit>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Graphics controller registers.
constexpr unsigned kSetReset = 0, kEnableSetReset = 1, kColorCompare = 2, kRotate = 3;
constexpr unsigned kReadMap = 4, kMode = 5, kMiscellaneous = 6, kColorCare = 7, kBitMask = 8;
constexpr unsigned kMapMask = 2;  // of the sequencer

}  // namespace

std::optional<uint32_t> VgaMemory::decode(uint32_t offset) const {
  switch (registers_.graphics[kMiscellaneous] >> 2 & 3) {
    case 0:
      return offset;  // 128 KiB from 0xa0000
    case 1:
      return offset < 0x10000 ? std::optional(offset) : std::nullopt;
    case 2:
      return offset >= 0x10000 && offset < 0x18000 ? std::optional(offset - 0x10000) : std::nullopt;
    default:
      return offset >= 0x18000 ? std::optional(offset - 0x18000) : std::nullopt;
  }
}

uint8_t VgaMemory::read(uint32_t offset) {
  const std::optional<uint32_t> at = decode(offset);
  if (!at) return 0xff;
  uint32_t address = *at;
  unsigned plane = registers_.graphics[kReadMap] & 3;
  if (chained()) {
    plane = address & 3;
    address &= ~3U;
  } else if (odd_even()) {
    plane = (plane & 2) | (address & 1);
    address &= ~1U;
  }
  const auto bytes = planes_.begin() + (address % kPlaneBytes) * 4;
  std::copy_n(bytes, 4, latch_.begin());
  if ((registers_.graphics[kMode] & 0x08) == 0) return latch_[plane];
  // Read mode 1: which pixels have the colour asked for, in the planes that count.
  uint8_t differing = 0;
  for (unsigned i = 0; i < 4; ++i) {
    if ((registers_.graphics[kColorCare] >> i & 1) == 0) continue;
    const uint8_t wanted = (registers_.graphics[kColorCompare] >> i & 1) != 0 ? 0xff : 0;
    differing |= static_cast<uint8_t>(latch_[i] ^ wanted);
  }
  return static_cast<uint8_t>(~differing);
}

void VgaMemory::write(uint32_t offset, uint8_t value) {
  const std::optional<uint32_t> at = decode(offset);
  if (!at) return;
  const uint8_t mask = registers_.sequencer[kMapMask] & 0x0f;
  const uint32_t address = *at;
  if (chained()) {
    if ((mask >> (address & 3) & 1) != 0) {
      planes_[((address & ~3U) % kPlaneBytes) * 4 + (address & 3)] = value;
    }
  } else if (odd_even()) {
    write_planes(address & ~1U, value, mask & ((address & 1) != 0 ? 0x0a : 0x05));
  } else {
    write_planes(address, value, mask);
  }
}

// The logical function of the value and the latch, under the bit mask.
uint8_t VgaMemory::combine(uint8_t value, unsigned plane) const {
  uint8_t result = value;
  switch (registers_.graphics[kRotate] >> 3 & 3) {
    case 1:
      result &= latch_[plane];
      break;
    case 2:
      result |= latch_[plane];
      break;
    case 3:
      result ^= latch_[plane];
      break;
    default:
      break;
  }
  const uint8_t mask = registers_.graphics[kBitMask];
  return static_cast<uint8_t>((result & mask) | (latch_[plane] & ~mask));
}

void VgaMemory::write_planes(uint32_t address, uint8_t value, uint8_t plane_mask) {
  const auto& graphics = registers_.graphics;
  const uint8_t rotated = std::rotr(value, graphics[kRotate] & 7);
  for (unsigned plane = 0; plane < 4; ++plane) {
    if ((plane_mask >> plane & 1) == 0) continue;
    const uint8_t set = (graphics[kSetReset] >> plane & 1) != 0 ? 0xff : 0;
    uint8_t result = 0;
    switch (graphics[kMode] & 3) {
      case 0:
        result = combine((graphics[kEnableSetReset] >> plane & 1) != 0 ? set : rotated, plane);
        break;
      case 1:
        result = latch_[plane];
        break;
      case 2:
        result = combine((value >> plane & 1) != 0 ? 0xff : 0, plane);
        break;
      default: {  // the rotated value joins the bit mask
        const uint8_t mask = rotated & graphics[kBitMask];
        result = static_cast<uint8_t>((set & mask) | (latch_[plane] & ~mask));
        break;
      }
    }
    planes_[(address % kPlaneBytes) * 4 + plane] = result;
  }
}

void VgaMemory::visit_state(StateArchive& archive) {
  archive.memory("planes", planes_);
  archive.numbers("latch", latch_);
}

}  // namespace ringshift

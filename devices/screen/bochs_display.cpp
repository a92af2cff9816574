#include "devices/screen/bochs_display.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kRomBytes = 0x10000;
constexpr uint16_t kOldestVersion = 0xb0c0, kVersion = 0xb0c5;
constexpr uint16_t kMostWidth = 2560, kMostHeight = 1600, kMostBits = 32;

// Registers by index.
constexpr unsigned kId = 0, kWidth = 1, kHeight = 2, kBits = 3, kEnable = 4, kBank = 5;
constexpr unsigned kVirtualWidth = 6, kVirtualHeight = 7, kOffsetX = 8, kOffsetY = 9, kMemory = 10;
// Bits of the enable register.
constexpr uint16_t kEnabled = 0x01, kCapabilities = 0x02, kLinear = 0x40, kKeepMemory = 0x80;

uint32_t bytes_of_pixel(uint32_t bits) { return (bits + 7) / 8; }

bool is_mode(uint32_t width, uint32_t height, uint32_t bits) {
  const bool depth = bits == 8 || bits == 15 || bits == 16 || bits == 24 || bits == 32;
  return depth && width != 0 && height != 0 && width <= kMostWidth && height <= kMostHeight &&
         uint64_t{width} * height * bytes_of_pixel(bits) <= BochsDisplay::kMemoryBytes;
}

}  // namespace

uint32_t BochsDisplay::Rom::read(uint64_t offset, AccessWidth width) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, static_cast<size_t>(width));
  return value;
}

uint32_t BochsDisplay::FrameBuffer::read(uint64_t offset, AccessWidth width) {
  uint32_t value = 0;
  std::memcpy(&value, bytes().data() + offset, static_cast<size_t>(width));
  return value;
}

void BochsDisplay::FrameBuffer::write(uint64_t offset, AccessWidth width, uint32_t value) {
  std::memcpy(writable_bytes() + offset, &value, static_cast<size_t>(width));
}

// A caller that was given the bytes may write to them later.
void BochsDisplay::FrameBuffer::clear() {
  if (!is_zero_) std::ranges::fill(bytes(), uint8_t{0});
}

void BochsDisplay::FrameBuffer::visit_bytes(StateArchive& archive) {
  archive.memory("memory", bytes(), &is_zero_);
}

BochsDisplay::Registers::Registers(FrameBuffer& memory) : memory_(memory) {
  values_[kId] = kVersion;
}

uint16_t BochsDisplay::Registers::read_data() const {
  const bool capabilities = (values_[kEnable] & kCapabilities) != 0;
  switch (index_) {
    case kWidth:
      return capabilities ? kMostWidth : values_[kWidth];
    case kHeight:
      return capabilities ? kMostHeight : values_[kHeight];
    case kBits:
      return capabilities ? kMostBits : values_[kBits];
    case kMemory:
      return static_cast<uint16_t>(kMemoryBytes >> 16);
    default:
      return index_ < kRegisters ? values_[index_] : 0;
  }
}

// A mode that makes no sense leaves the display disabled.
void BochsDisplay::Registers::enable(uint16_t value) {
  const bool was_enabled = (values_[kEnable] & kEnabled) != 0;
  values_[kEnable] = value;
  if ((value & kEnabled) == 0 || was_enabled) return;
  if (!is_mode(values_[kWidth], values_[kHeight], values_[kBits])) {
    values_[kEnable] &= static_cast<uint16_t>(~kEnabled);
    return;
  }
  values_[kVirtualWidth] = values_[kWidth];
  const uint32_t line = values_[kWidth] * bytes_of_pixel(values_[kBits]);
  values_[kVirtualHeight] = static_cast<uint16_t>(std::min(kMemoryBytes / line, 0xffffU));
  values_[kOffsetX] = values_[kOffsetY] = 0;
  if ((value & kKeepMemory) == 0) memory_.clear();
}

void BochsDisplay::Registers::write_data(uint16_t value) {
  const bool enabled = (values_[kEnable] & kEnabled) != 0;
  switch (index_) {
    case kId:
      // Software asks for the version it knows, and reads back whether it may have it.
      if (value >= kOldestVersion && value <= kVersion) values_[kId] = value;
      break;
    case kWidth:
    case kHeight:
    case kBits:
      if (!enabled) values_[index_] = value;
      break;
    case kEnable:
      enable(value);
      break;
    case kBank:
    case kOffsetX:
    case kOffsetY:
      values_[index_] = value;
      break;
    case kVirtualWidth:
      if (enabled && value >= values_[kWidth]) {
        const uint32_t line = value * bytes_of_pixel(values_[kBits]);
        values_[kVirtualWidth] = value;
        values_[kVirtualHeight] = static_cast<uint16_t>(std::min(kMemoryBytes / line, 0xffffU));
      }
      break;
    default:
      break;
  }
}

uint32_t BochsDisplay::Registers::read(uint16_t offset, AccessWidth width) {
  if (width == AccessWidth::Byte) return 0xff;
  return offset == 0 ? index_ : read_data();
}

// Index at 0x1ce; data at 0x1cf, and at 0x1d0 for those who want it aligned.
void BochsDisplay::Registers::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (width == AccessWidth::Byte) return;
  if (offset == 0) {
    index_ = static_cast<uint16_t>(value);
  } else {
    write_data(static_cast<uint16_t>(value));
  }
}

BochsDisplay::Function::Function(PciBuses& buses, MemoryDevice& frame_buffer, MemoryDevice& rom,
                                 bool has_rom)
    : PciFunction(buses,
                  {.vendor = 0x1234, .device = 0x1111, .class_code = 0x030000, .revision = 2},
                  "display") {
  add_memory_range(0, kMemoryBytes, frame_buffer);
  if (has_rom) add_rom(kRomBytes, rom);
}

BochsDisplay::BochsDisplay(PciBuses& buses, std::vector<uint8_t> rom)
    : rom_(std::move(rom)),
      registers_(frame_buffer_),
      function_(buses, frame_buffer_, rom_, !rom_.bytes.empty()) {
  CHECK(rom_.bytes.size() <= kRomBytes);
  rom_.bytes.resize(kRomBytes, 0xff);
}

bool BochsDisplay::show(uint32_t width, uint32_t height, uint32_t bits) {
  if (!is_mode(width, height, bits)) return false;
  const struct {
    unsigned index;
    uint32_t value;
  } writes[] = {{kEnable, 0},
                {kWidth, width},
                {kHeight, height},
                {kBits, bits},
                {kEnable, kEnabled | kLinear}};
  for (const auto& write : writes) {
    registers_.write(0, AccessWidth::Word, write.index);
    registers_.write(2, AccessWidth::Word, write.value);
  }
  return true;
}

bool BochsDisplay::enabled() const { return (registers_.at(kEnable) & kEnabled) != 0; }

BochsDisplay::Mode BochsDisplay::mode() const {
  CHECK(enabled());
  Mode mode;
  mode.bits_per_pixel = registers_.at(kBits);
  const uint32_t bytes = bytes_of_pixel(mode.bits_per_pixel);
  mode.width = registers_.at(kWidth);
  mode.height = registers_.at(kHeight);
  mode.bytes_per_line = registers_.at(kVirtualWidth) * bytes;
  // An offset that would show memory that is not there shows the beginning.
  const uint64_t first = uint64_t{registers_.at(kOffsetY)} * mode.bytes_per_line +
                         uint64_t{registers_.at(kOffsetX)} * bytes;
  const uint64_t needed = uint64_t{mode.height - 1} * mode.bytes_per_line + mode.width * bytes;
  if (needed > kMemoryBytes) mode.bytes_per_line = mode.width * bytes;
  mode.first_byte = first + needed <= kMemoryBytes ? static_cast<uint32_t>(first) : 0;
  return mode;
}

void BochsDisplay::Registers::visit_state(StateArchive& archive) {
  archive.field("index", index_);
  archive.numbers("values", values_);
  const bool is_good = is_mode(values_[kWidth], values_[kHeight], values_[kBits]) &&
                       values_[kVirtualWidth] >= values_[kWidth];
  archive.require((values_[kEnable] & kEnabled) == 0 || is_good, "values", "they are no mode");
}

void BochsDisplay::visit_state(StateArchive& archive) {
  archive.same("hash of rom", hash_bytes(rom_.bytes, 0));
  frame_buffer_.visit_bytes(archive);
  archive.part("registers", registers_);
  archive.part("function", function_);
}

}  // namespace ringshift

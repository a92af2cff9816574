#include "devices/chips/dma8237.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

uint16_t with_byte(uint16_t word, bool high, uint8_t value) {
  return high ? static_cast<uint16_t>((word & 0x00ff) | value << 8)
              : static_cast<uint16_t>((word & 0xff00) | value);
}

}  // namespace

uint8_t Dma8237::read(unsigned index) {
  if (index < 8) {
    const Channel& channel = channels_[index / 2];
    const uint16_t word = (index & 1) != 0 ? channel.count : channel.address;
    const bool high = high_byte_next_;
    high_byte_next_ = !high_byte_next_;
    return static_cast<uint8_t>(high ? word >> 8 : word);
  }
  switch (index) {
    case 8: {  // status: requests pending, and terminal counts since the last time
      const auto status = static_cast<uint8_t>(requests_ << 4 | terminal_counts_);
      terminal_counts_ = 0;
      return status;
    }
    case 13:  // temporary register: only memory-to-memory transfers fill it
      return 0;
    case 15:  // 82C37 and later let the mask be read here
      return static_cast<uint8_t>(0xf0 | mask_);
    default:
      return 0xff;
  }
}

void Dma8237::write_channel(unsigned index, uint8_t value) {
  Channel& channel = channels_[index / 2];
  uint16_t& base = (index & 1) != 0 ? channel.base_count : channel.base_address;
  uint16_t& current = (index & 1) != 0 ? channel.count : channel.address;
  base = with_byte(base, high_byte_next_, value);
  current = with_byte(current, high_byte_next_, value);
  high_byte_next_ = !high_byte_next_;
}

void Dma8237::master_clear() {
  high_byte_next_ = false;
  mask_ = 0x0f;
  requests_ = 0;
  command_ = 0;
  terminal_counts_ = 0;
}

void Dma8237::write(unsigned index, uint8_t value) {
  const auto channel_bit = static_cast<uint8_t>(1U << (value & 3));
  const bool set = (value & 4) != 0;
  switch (index) {
    case 8:
      command_ = value;
      break;
    case 9:
      requests_ = static_cast<uint8_t>(set ? requests_ | channel_bit : requests_ & ~channel_bit);
      break;
    case 10:
      mask_ = static_cast<uint8_t>(set ? mask_ | channel_bit : mask_ & ~channel_bit);
      break;
    case 11:
      channels_[value & 3].mode = value;
      break;
    case 12:
      high_byte_next_ = false;
      break;
    case 13:
      master_clear();
      break;
    case 14:
      mask_ = 0;
      break;
    case 15:
      mask_ = value & 0x0f;
      break;
    default:
      write_channel(index, value);
      break;
  }
}

uint32_t Dma8237::grant(unsigned channel, Direction direction, uint32_t wanted,
                        uint16_t* address) const {
  // Mode: bits 2 and 3 are 1 for a write to memory, 2 for a read from it.
  constexpr uint8_t kDisabled = 0x04;
  const Channel& from = channels_[channel];
  const unsigned mode = direction == Direction::ToMemory ? 1 : 2;
  if ((mask_ >> channel & 1) != 0 || (command_ & kDisabled) != 0 || (from.mode >> 2 & 3) != mode) {
    return 0;
  }
  *address = from.address;
  // The address counts within its 64 KiB; bytes that would wrap are moved in a piece of their own.
  const uint32_t in_page = 0x10000U - from.address;
  return std::min({wanted, from.count + 1U, in_page});
}

bool Dma8237::advance(unsigned channel, uint32_t bytes) {
  constexpr uint8_t kAutoInitialize = 0x10;
  Channel& at = channels_[channel];
  at.address = static_cast<uint16_t>(at.address + bytes);
  const bool ended = bytes == at.count + 1U;
  at.count = static_cast<uint16_t>(at.count - bytes);
  if (!ended) return false;
  terminal_counts_ |= static_cast<uint8_t>(1U << channel);
  if ((at.mode & kAutoInitialize) != 0) {
    at.address = at.base_address;
    at.count = at.base_count;
  } else {
    mask_ |= static_cast<uint8_t>(1U << channel);
  }
  return true;
}

// The page latches of channels 0 to 3 are not in order.
uint64_t DmaControllers::page_of(unsigned channel) const {
  constexpr unsigned kLatch[] = {7, 3, 1, 2};
  return uint64_t{pages_[kLatch[channel & 3]]} << 16;
}

uint32_t DmaControllers::to_memory(unsigned channel, DmaMemory& memory,
                                   std::span<const uint8_t> bytes, bool* ended) {
  uint32_t moved = 0;
  *ended = false;
  while (moved < bytes.size() && !*ended) {
    uint16_t address = 0;
    const auto wanted = static_cast<uint32_t>(bytes.size() - moved);
    const uint32_t part = first_.grant(channel, Dma8237::Direction::ToMemory, wanted, &address);
    if (part == 0) break;
    memory.write_ram(page_of(channel) | address, bytes.subspan(moved, part));
    *ended = first_.advance(channel, part);
    moved += part;
  }
  return moved;
}

uint32_t DmaControllers::from_memory(unsigned channel, DmaMemory& memory, std::span<uint8_t> bytes,
                                     bool* ended) {
  uint32_t moved = 0;
  *ended = false;
  while (moved < bytes.size() && !*ended) {
    uint16_t address = 0;
    const auto wanted = static_cast<uint32_t>(bytes.size() - moved);
    const uint32_t part = first_.grant(channel, Dma8237::Direction::FromMemory, wanted, &address);
    if (part == 0) break;
    memory.read_ram(page_of(channel) | address, bytes.subspan(moved, part));
    *ended = first_.advance(channel, part);
    moved += part;
  }
  return moved;
}

void Dma8237::Channel::visit_state(StateArchive& archive) {
  archive.field("base address", base_address);
  archive.field("base count", base_count);
  archive.field("address", address);
  archive.field("count", count);
  archive.field("mode", mode);
}

void Dma8237::visit_state(StateArchive& archive) {
  archive.part("channel 0", channels_[0]);
  archive.part("channel 1", channels_[1]);
  archive.part("channel 2", channels_[2]);
  archive.part("channel 3", channels_[3]);
  archive.field("high byte next", high_byte_next_);
  archive.field("mask", mask_);
  archive.field("requests", requests_);
  archive.field("command", command_);
  archive.field("terminal counts", terminal_counts_);
}

void DmaControllers::visit_state(StateArchive& archive) {
  archive.part("first", first_);
  archive.part("second", second_);
  archive.numbers("pages", pages_);
}

DmaControllers::DmaControllers()
    : first_ports_([this](uint16_t offset) { return first_.read(offset & 15U); },
                   [this](uint16_t offset, uint8_t value) { first_.write(offset & 15U, value); }),
      // The second controller is wired to A1-A4: each register answers at two ports.
      second_ports_(
          [this](uint16_t offset) { return second_.read((offset >> 1) & 15U); },
          [this](uint16_t offset, uint8_t value) { second_.write((offset >> 1) & 15U, value); }),
      page_ports_([this](uint16_t offset) { return pages_[(offset + 1U) & 15U]; },
                  [this](uint16_t offset, uint8_t value) { pages_[(offset + 1U) & 15U] = value; }) {
}

}  // namespace ringshift

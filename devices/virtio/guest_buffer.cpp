#include "devices/virtio/guest_buffer.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void GuestBuffer::clear() {
  pieces_.clear();
  next_ = 0;
  bytes_ = 0;
}

void GuestBuffer::add(uint64_t address, uint32_t bytes) {
  CHECK(pieces_.size() < kMostPieces);
  if (bytes == 0) return;
  pieces_.push_back({address, bytes});
  bytes_ += bytes;
}

template <typename Move>
void GuestBuffer::advance(size_t bytes, Move move) {
  CHECK(bytes <= bytes_);
  bytes_ -= bytes;
  for (size_t offset = 0; offset < bytes;) {
    Piece& piece = pieces_[next_];
    const auto part = static_cast<uint32_t>(std::min<size_t>(piece.bytes, bytes - offset));
    move(piece.address, offset, part);
    offset += part;
    piece.address += part;
    piece.bytes -= part;
    if (piece.bytes == 0) ++next_;
  }
}

void GuestBuffer::take(DmaMemory& memory, std::span<uint8_t> to) {
  advance(to.size(), [&](uint64_t address, size_t offset, uint32_t bytes) {
    memory.read_ram(address, to.subspan(offset, bytes));
  });
}

void GuestBuffer::put(DmaMemory& memory, std::span<const uint8_t> from) {
  advance(from.size(), [&](uint64_t address, size_t offset, uint32_t bytes) {
    memory.write_ram(address, from.subspan(offset, bytes));
  });
}

void GuestBuffer::look_at(DmaMemory& memory, std::span<uint8_t> to) const {
  GuestBuffer(*this).take(memory, to);
}

void GuestBuffer::drop(size_t bytes) {
  advance(bytes, [](uint64_t, size_t, uint32_t) {});
}

GuestBuffer::Range GuestBuffer::skip(uint64_t most) {
  CHECK(bytes_ != 0 && most != 0);
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(pieces_[next_].bytes, most));
  Range range;
  advance(count, [&](uint64_t address, size_t, uint32_t bytes) { range = {address, bytes}; });
  return range;
}

uint64_t GuestBuffer::split_last_byte() {
  CHECK(bytes_ != 0);
  Piece& last = pieces_.back();
  --bytes_;
  --last.bytes;
  const uint64_t address = last.address + last.bytes;
  if (last.bytes == 0) pieces_.pop_back();
  return address;
}

// Only the rest is kept: bytes that have been used up are of no more interest.
void GuestBuffer::visit_state(StateArchive& archive) {
  std::vector<uint64_t> addresses;
  std::vector<uint32_t> lengths;
  for (size_t i = next_; i < pieces_.size(); ++i) {
    addresses.push_back(pieces_[i].address);
    lengths.push_back(pieces_[i].bytes);
  }
  archive.list("addresses", addresses, kMostPieces);
  archive.list("lengths", lengths, kMostPieces);
  archive.require(addresses.size() == lengths.size(), "lengths", "there is not one an address");
  if (!archive.has_loaded()) return;
  clear();
  for (size_t i = 0; i < addresses.size(); ++i) add(addresses[i], lengths[i]);
}

}  // namespace ringshift

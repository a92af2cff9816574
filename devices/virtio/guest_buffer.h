// GuestBuffer: pieces of guest RAM that a driver has given as one buffer, used up from the front.
// Owns: where they are, not the bytes. A guest chose the pieces: where they lie was looked at when
// they were added. See docs/devices.md; VIRTIO 1.1, 2.6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/bus/dma_memory.h"

namespace ringshift {

class StateArchive;

class GuestBuffer {
 public:
  // Pieces of one buffer, at most.
  static constexpr size_t kMostPieces = 257;

  void clear();
  // Pre: there are less than kMostPieces.
  void add(uint64_t address, uint32_t bytes);
  // The bytes that are left.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // The next bytes, out of guest RAM or into it, are used up. Pre: there are so many.
  void take(DmaMemory& memory, std::span<uint8_t> to);
  void put(DmaMemory& memory, std::span<const uint8_t> from);
  // The next bytes, which stay the next ones; and those are used up untouched. Pre: as above.
  void look_at(DmaMemory& memory, std::span<uint8_t> to) const;
  void drop(size_t bytes);
  // The next bytes, at most so many and in one piece, are used up untouched. Pre: bytes() != 0, and
  // most != 0.
  struct Range {
    uint64_t address = 0;
    uint32_t bytes = 0;
  };
  [[nodiscard]] Range skip(uint64_t most);
  // Removes the last byte from the buffer, and returns its address. Pre: bytes() != 0.
  [[nodiscard]] uint64_t split_last_byte();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Piece {
    uint64_t address = 0;
    uint32_t bytes = 0;
  };
  // Calls move(address, offset, bytes) for each piece of the next `bytes`.
  template <typename Move>
  void advance(size_t bytes, Move move);

  // Not state: bytes_: it follows from the pieces.
  std::vector<Piece> pieces_;
  size_t next_ = 0;     // the piece that the front lies in
  uint64_t bytes_ = 0;  // of the pieces from there on
};

}  // namespace ringshift

// RangeTable: ranges that devices claim in one address space, and which of them owns each address:
// where claims lie over each other, the one of the lowest rank (D1). A guest moves claims about, in
// any order; the owner depends on where they lie, never on the order. Owns: the claims.
// See docs/devices.md, "Who answers".
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shadowmmu/base/check.h"

namespace ringshift {

// The lower rank answers. A range that a PCI function decodes has a rank of its own, from its place
// on the bus: the lower slot, function and range first. RAM ranks between the board and PCI.
enum class DecodeRank : uint32_t { Added, Board, FirstOfPci };

constexpr DecodeRank pci_rank(unsigned slot_and_function, unsigned range) {
  return static_cast<DecodeRank>(static_cast<uint32_t>(DecodeRank::FirstOfPci) +
                                 slot_and_function * 8 + range);
}

template <typename Device>
class RangeTable {
 public:
  struct Claim {
    uint64_t first = 0;
    uint64_t bytes = 0;
    Device* device = nullptr;
    std::string name;
    DecodeRank rank = DecodeRank::Board;
  };
  // The part of a claim that is its own.
  struct Piece {
    uint64_t first = 0;
    uint64_t bytes = 0;
    const Claim* claim = nullptr;
    [[nodiscard]] uint64_t end() const { return first + bytes; }
  };

  // False, and nothing changed, if one of the same rank has any of it. Pre: it does not wrap.
  [[nodiscard]] bool claim(Claim claim) {
    for (const auto& other : claims_) {
      const bool apart =
          other->first >= claim.first + claim.bytes || claim.first >= other->first + other->bytes;
      if (other->rank == claim.rank && !apart) return false;
    }
    const auto after =
        std::upper_bound(claims_.begin(), claims_.end(), claim.rank,
                         [](DecodeRank rank, const auto& other) { return rank < other->rank; });
    claims_.insert(after, std::make_unique<Claim>(std::move(claim)));
    decide();
    return true;
  }

  // Pre: a claim of this rank begins there.
  void release(uint64_t first, DecodeRank rank) {
    CHECK(std::erase_if(claims_, [&](const auto& claim) {
            return claim->first == first && claim->rank == rank;
          }) == 1);
    decide();
  }

  // Below this address no PCI function answers: RAM does.
  void hide_pci_below(uint64_t end) {
    pci_begins_ = end;
    decide();
  }

  // The owner of the address; null: nobody. Good until a claim comes or goes.
  [[nodiscard]] const Piece* find(uint64_t address) const {
    const auto after =
        std::upper_bound(pieces_.begin(), pieces_.end(), address,
                         [](uint64_t at, const Piece& piece) { return at < piece.first; });
    if (after == pieces_.begin()) return nullptr;
    const Piece& piece = *std::prev(after);
    return address < piece.end() ? &piece : nullptr;
  }
  [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  // Claims are in the order of their ranks: each gets the addresses that those before it have left.
  void decide() {
    pieces_.clear();
    for (const auto& claim : claims_) {
      const bool is_pci = claim->rank >= DecodeRank::FirstOfPci;
      const uint64_t end = claim->first + claim->bytes;
      uint64_t at = is_pci ? std::max(claim->first, pci_begins_) : claim->first;
      std::vector<Piece> left;
      for (const Piece& piece : pieces_) {
        if (piece.end() <= at) continue;
        if (at < std::min(piece.first, end)) {
          left.push_back({at, std::min(piece.first, end) - at, claim.get()});
        }
        at = std::max(at, piece.end());
      }
      if (at < end) left.push_back({at, end - at, claim.get()});
      pieces_.insert(pieces_.end(), left.begin(), left.end());
      std::sort(pieces_.begin(), pieces_.end(),
                [](const Piece& a, const Piece& b) { return a.first < b.first; });
    }
  }

  std::vector<std::unique_ptr<Claim>> claims_;
  std::vector<Piece> pieces_;  // by address
  uint64_t pci_begins_ = 0;
};

}  // namespace ringshift

// KeptEntries: the soft TLBs' entries of address spaces that the guest has left. When it comes
// back, those entries are in force again whose tables, all of them traced, are unchanged: no walk,
// no miss. Owns: the entries, bounded. See docs/shadow-mmu.md, "CR3 load".
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "monitor/spaces/space_resources.h"
#include "monitor/spaces/user/soft_tlbs.h"

namespace ringshift {

class KeptEntries {
 public:
  // The address space of this CR3 is left; its entries are still in the TLBs.
  void leave(uint32_t cr3, const SoftTlbs& tlbs);
  // The address space of this CR3 has been entered; the TLBs hold nothing that its CR3 load
  // flushes.
  void come_back(uint32_t cr3, SpaceResources& resources);
  void forget_all() { ++generation_; }

  // Unused entries crowd out used ones: an address space begins anew after so many returns.
  static constexpr uint32_t kReturnsUntilAnew = 64;
  static constexpr size_t kMostEntries = 96;  // of an address space

 private:
  struct Space {
    uint64_t generation = 0;
    uint32_t cr3 = 0;
    uint32_t returns = 0;
    std::vector<SoftTlbs::Kept> entries;
  };
  static constexpr uint32_t kSpaces = 256;
  [[nodiscard]] Space& place_of(uint32_t cr3) {
    constexpr uint32_t kMultiplier = 0x9e3779b1U;
    constexpr uint32_t kShift = 24;
    return spaces_[(cr3 / kPageSize * kMultiplier) >> kShift];
  }

  std::array<Space, kSpaces> spaces_;
  uint64_t generation_ = 1;  // of entries that may come back
};

}  // namespace ringshift

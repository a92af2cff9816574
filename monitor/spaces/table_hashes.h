// TableHashes: tells whether the guest's tables behind a 4 MiB region are those that a view was
// last verified against, so that a flush need not walk them for every page. Owns: the hashes of one
// pass. Within a pass the guest does not run, so a hash is computed once. See docs/shadow-mmu.md.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <utility>
#include <vector>

#include "monitor/spaces/code_view.h"
#include "shadowmmu/guest_tables.h"

namespace ringshift {

class TableHashes {
 public:
  explicit TableHashes(const GuestTables& tables) : tables_(tables) {}

  // A verification begins.
  void begin() {
    ++pass_;
    asked_.clear();
  }
  [[nodiscard]] bool unchanged(const CodeView& view, Region region) {
    const uint32_t index = region.index();
    if (hash_pass_[index] != pass_) {
      hash_pass_[index] = pass_;
      hash_[index] = tables_.stamp(region);
      is_stamp_[index] = hash_[index] != 0;
      if (hash_[index] == 0) hash_[index] = tables_.hash(region);
      asked_.push_back(index);
    }
    return hash_[index] != 0 && view.verified_tables[index] == hash_[index];
  }
  // All that is left in the regions asked about has just been found true. Nothing is new in the
  // others: their entries were true of tables with the old hash. find(region, Finding): the
  // region's tables had to be hashed.
  template <typename Find>
  void note_verified(CodeView& view, const Find& find) {
    using Finding = TableTraces::Finding;
    for (const uint32_t index : asked_) {
      const uint64_t before = std::exchange(view.verified_tables[index], hash_[index]);
      if (is_stamp_[index] || hash_[index] == 0) continue;
      const bool is_same = before == hash_[index];
      find(Region(index), before == 0 ? Finding::New : is_same ? Finding::Same : Finding::Changed);
    }
  }

 private:
  const GuestTables& tables_;
  uint64_t pass_ = 0;
  std::array<uint64_t, Region::kCount> hash_{};
  std::array<uint64_t, Region::kCount> hash_pass_{};
  std::bitset<Region::kCount> is_stamp_;
  std::vector<uint32_t> asked_;  // indices of regions, in this pass
};

}  // namespace ringshift

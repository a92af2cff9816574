#include "monitor/spaces/user/kept_entries.h"

#include "shadowmmu/base/counters.h"

namespace ringshift {

void KeptEntries::leave(uint32_t cr3, const SoftTlbs& tlbs) {
  Space& space = place_of(cr3);
  if (space.cr3 != cr3) space.returns = 0;
  space.cr3 = cr3;
  space.generation = generation_;
  space.entries.clear();
  tlbs.for_each_local([&space](const SoftTlbs::Kept& kept) {
    if (space.entries.size() < kMostEntries) space.entries.push_back(kept);
  });
}

void KeptEntries::come_back(uint32_t cr3, SpaceResources& resources) {
  Space& space = place_of(cr3);
  if (space.cr3 != cr3 || space.generation != generation_ || space.entries.empty()) return;
  if (++space.returns % kReturnsUntilAnew == 0) return space.entries.clear();
  // Neighbours are often of one region.
  Region region(0);
  uint64_t stamp = resources.stamp(region);
  for (SoftTlbs::Kept& kept : space.entries) {
    if (const Region other = Region::of(kept.page()); !(other == region)) {
      region = other;
      stamp = resources.stamp(region);
    }
    if (kept.stamp != stamp) continue;
    const GuestPhysicalPage physical = resources.page_at(kept.host_page());
    if (kept.may_write() && !resources.physical.may_write_unseen(physical)) {
      kept.entry.negated_write_page = SoftTlbEntry{}.negated_write_page;
    }
    resources.soft_tlbs.put_back(kept);
    counters().tlb_kept++;
  }
}

}  // namespace ringshift

#include "monitor/spaces/user/soft_tlbs.h"

namespace ringshift {

bool SoftTlbs::holds(GuestVirtualPage page, bool is_write, Privilege privilege) const {
  const SoftTlbEntry& entry = of(privilege)[page.number() % kSoftTlbEntries];
  return (is_write ? entry.negated_write_page : entry.negated_read_page) + page.number() == 0;
}

void SoftTlbs::fill(const Fill& fill, Privilege privilege) {
  const uint32_t number = fill.page.number();
  const uint32_t slot = number % kSoftTlbEntries;
  SoftTlbEntry& entry = of(privilege)[slot];
  entry.negated_read_page = 0U - number;
  entry.negated_write_page = fill.may_write ? 0U - number : SoftTlbEntry{}.negated_write_page;
  entry.addend = fill.host_page - fill.page.address().value();
  if (fill.is_large) large_regions_.set(Region::of(fill.page).index());
  if (privilege == Privilege::User) return;
  const uint64_t bit = uint64_t{1} << (slot % kWordBits);
  uint64_t& word = local_[slot / kWordBits];
  word = fill.is_global ? word & ~bit : word | bit;
}

void SoftTlbs::fill_around(const Fill& fill, GuestVirtual first, GuestVirtual last,
                           Privilege privilege) {
  const uint32_t page = fill.page.address().value();
  part_of(privilege) = {.read_page = page,
                        .write_page = fill.may_write ? page : WatchedPart::kNone,
                        .first = first.value(),
                        .last = last.value(),
                        .addend = fill.host_page - page};
}

bool SoftTlbs::holds_around(GuestVirtualPage page, bool is_write, Privilege privilege) const {
  const WatchedPart& part = part_of(privilege);
  return (is_write ? part.write_page : part.read_page) == page.address().value();
}

void SoftTlbs::flush() {
  frame_->watched_parts.fill(WatchedPart{});
  frame_->supervisor_tlb.fill(SoftTlbEntry{});
  frame_->user_tlb.fill(SoftTlbEntry{});
  local_.fill(0);
  large_regions_.reset();
}

void SoftTlbs::flush_all_but_global() {
  frame_->watched_parts.fill(WatchedPart{});
  frame_->user_tlb.fill(SoftTlbEntry{});
  for_each_set(local_, [this](uint32_t slot) { frame_->supervisor_tlb[slot] = SoftTlbEntry{}; });
  local_.fill(0);
}

void SoftTlbs::flush_page(GuestVirtualPage page) {
  frame_->watched_parts.fill(WatchedPart{});
  // Any address in a large page names all of it.
  if (large_regions_[Region::of(page).index()]) return flush();
  for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
    if (!holds(page, false, privilege)) continue;
    of(privilege)[page.number() % kSoftTlbEntries] = SoftTlbEntry{};
  }
}

}  // namespace ringshift

#include "monitor/spaces/user/soft_tlbs.h"

#include <utility>

namespace ringshift {

namespace {

template <typename Slots>
void set_bit(Slots& slots, uint32_t slot, bool value) {
  const uint64_t bit = uint64_t{1} << (slot % kWordBits);
  uint64_t& word = slots[slot / kWordBits];
  word = value ? word | bit : word & ~bit;
}

}  // namespace

bool SoftTlbs::holds(GuestVirtualPage page, bool is_write, Privilege privilege) const {
  const uint32_t slot = page.number() % kSoftTlbEntries;
  const SoftTlbEntry& entry = of(privilege)[slot];
  const auto is_tag = [&](uint32_t negated) { return negated + page.number() == 0; };
  if (!is_write) return is_tag(entry.negated_read_page);
  if (is_tag(entry.negated_write_page)) return true;
  if (is_tag(entry.negated_read_page) && code_of(privilege, slot) != 0) return true;
  return privilege == Privilege::Supervisor && is_tag(frame_->table_tlb[slot].negated_page);
}

void SoftTlbs::fill(const Fill& fill, Privilege privilege) {
  const uint32_t number = fill.page.number();
  const uint32_t slot = number % kSoftTlbEntries;
  SoftTlbEntry& entry = of(privilege)[slot];
  entry.negated_read_page = 0U - number;
  entry.negated_write_page = fill.may_write ? 0U - number : SoftTlbEntry{}.negated_write_page;
  entry.addend = fill.host_page - fill.page.address().value();
  code_of(privilege, slot) = fill.code != nullptr ? fill.code->base_for(fill.page) : 0;
  stamps_[static_cast<size_t>(privilege)][slot] = fill.stamp;
  if (fill.is_large) large_regions_.set(Region::of(fill.page).index());
  if (privilege == Privilege::User) return set_bit(used_by_user_, slot, true);
  set_bit(local_, slot, !fill.is_global);
  if (fill.may_mark) fill_table(fill);
}

void SoftTlbs::put_back(const Kept& kept) {
  const uint32_t slot = kept.page().number() % kSoftTlbEntries;
  SoftTlbEntry& entry = of(kept.privilege)[slot];
  if (entry.negated_read_page != SoftTlbEntry{}.negated_read_page) return;
  entry = kept.entry;
  code_of(kept.privilege, slot) = 0;
  stamps_[static_cast<size_t>(kept.privilege)][slot] = kept.stamp;
  if (kept.is_large) large_regions_.set(Region::of(kept.page()).index());
  set_bit(kept.privilege == Privilege::User ? used_by_user_ : local_, slot, true);
}

// ---- marks ----

void SoftTlbs::fill_table(const Fill& fill) {
  const uint32_t slot = fill.page.number() % kSoftTlbEntries;
  drop_table(slot);
  frame_->table_tlb[slot] = {.negated_page = 0U - fill.page.number(),
                             .is_written = 0,
                             .addend = fill.host_page - fill.page.address().value()};
  set_bit(used_by_tables_, slot, true);
  set_bit(local_tables_, slot, !fill.is_global);
}

// The entry's mark is delivered first.
void SoftTlbs::drop_table(uint32_t slot) {
  deliver_marks();
  frame_->table_tlb[slot] = TableTlbEntry{};
  set_bit(used_by_tables_, slot, false);
  set_bit(local_tables_, slot, false);
}

void SoftTlbs::deliver_all_marks() {
  frame_->slots.tables_written = 0;
  for_each_set(used_by_tables_, [this](uint32_t slot) {
    TableTlbEntry& entry = frame_->table_tlb[slot];
    if (std::exchange(entry.is_written, 0U) == 0) return;
    const uint64_t host_page = entry.addend + uint64_t{0U - entry.negated_page} * kPageSize;
    tables_->note_mark(GuestPhysicalPage((host_page - ram_) / kPageSize));
  });
}

void SoftTlbs::forget_writes_to(uint64_t host_page) {
  for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
    WatchedPart& part = part_of(privilege);
    if (part.write_page != WatchedPart::kNone && part.addend + part.write_page == host_page)
      part.write_page = WatchedPart::kNone;
    for (uint32_t slot = 0; slot < kSoftTlbEntries; ++slot) {
      SoftTlbEntry& entry = of(privilege)[slot];
      if (entry.addend + uint64_t{0U - entry.negated_read_page} * kPageSize != host_page) continue;
      entry.negated_write_page = SoftTlbEntry{}.negated_write_page;
      code_of(privilege, slot) = 0;
    }
  }
  for_each_set(used_by_tables_, [&](uint32_t slot) {
    const TableTlbEntry& entry = frame_->table_tlb[slot];
    if (entry.addend + uint64_t{0U - entry.negated_page} * kPageSize == host_page) drop_table(slot);
  });
}

// ---- pages watched in part ----

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
  for_each_set(used_by_tables_, [this](uint32_t slot) { drop_table(slot); });
  frame_->watched_parts.fill(WatchedPart{});
  frame_->supervisor_tlb.fill(SoftTlbEntry{});
  frame_->user_tlb.fill(SoftTlbEntry{});
  local_.fill(0);
  used_by_user_.fill(0);
  large_regions_.reset();
}

void SoftTlbs::flush_all_but_global() {
  frame_->watched_parts.fill(WatchedPart{});
  for_each_set(used_by_user_, [this](uint32_t slot) { frame_->user_tlb[slot] = SoftTlbEntry{}; });
  used_by_user_.fill(0);
  for_each_set(local_, [this](uint32_t slot) { frame_->supervisor_tlb[slot] = SoftTlbEntry{}; });
  local_.fill(0);
  for_each_set(local_tables_, [this](uint32_t slot) { drop_table(slot); });
}

void SoftTlbs::flush_page(GuestVirtualPage page) {
  frame_->watched_parts.fill(WatchedPart{});
  // Any address in a large page names all of it.
  if (large_regions_[Region::of(page).index()]) return flush();
  const uint32_t slot = page.number() % kSoftTlbEntries;
  for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
    if (!holds(page, false, privilege)) continue;
    of(privilege)[slot] = SoftTlbEntry{};
  }
  if (frame_->table_tlb[slot].negated_page + page.number() == 0) drop_table(slot);
}

}  // namespace ringshift

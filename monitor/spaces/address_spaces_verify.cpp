// AddressSpaces, second part: compares held entries with the guest's tables after a flush, and
// keeps those that the tables still say. A flush does not lose entries that are still true.
#include <algorithm>
#include <utility>

#include "monitor/spaces/address_spaces.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

// Pages lost in one verification that tell other tables from changed ones, and for how many flushes
// verification then waits (AddressSpaces::supervisor_needs_verification).
constexpr size_t kLossOfOtherTables = 128;
constexpr uint32_t kDeferrals = 10000;

}  // namespace

// The tables' translation of a page that this privilege may hold as it is: nothing if the page is
// absent, not accessed yet, or the other privilege's.
std::optional<Translation> AddressSpaces::tables_say(GuestVirtualPage page,
                                                     Privilege privilege) const {
  const WalkResult result = resources_.tables.probe(page.address(), AccessKind::Read, privilege);
  const Translation& now = result.translation;
  const bool is_user = privilege == Privilege::User;
  if (result.fault || !GuestTables::is_accessed(now) || now.user != is_user) return std::nullopt;
  return now;
}

bool AddressSpaces::is_shadow_of(const ShadowMapping& mapping, const Translation& now) {
  return GuestPhysicalPage::of(now.physical) == mapping.physical_page &&
         (now.page_bytes >= kSmallestLargePage) == mapping.is_large &&
         now.global == mapping.is_global &&
         (now.writable && now.writable_user && now.dirty) == mapping.may_write &&
         (now.executable || !mapping.is_executable);
}

bool AddressSpaces::still_shadows(const ShadowMapping& mapping, Privilege privilege) {
  const std::optional<Translation> now = tables_say(mapping.virtual_page, privilege);
  if (now && is_shadow_of(mapping, *now)) return true;
  if (mapping.space->base().value() != 0) {
    resources_.churn.note_change(mapping.virtual_page, resources_.churn_space(privilege));
  }
  return false;
}

bool AddressSpaces::still_maps(GuestVirtualPage page, CodePage& code, Privilege privilege) const {
  const WalkResult result = resources_.tables.probe(page.address(), AccessKind::Fetch, privilege);
  code.is_global = result.translation.global;
  return !result.fault && GuestTables::is_accessed(result.translation) &&
         GuestPhysicalPage::of(result.translation.physical) == code.physical;
}

// ---- comparing tables, and tracing those that are compared often ----

void AddressSpaces::begin_verification() {
  resources_.soft_tlbs.deliver_marks();
  hashes_.begin();
}

// Last in a verification: a trace may take all that some window holds.
void AddressSpaces::note_verified(CodeView& view) {
  const bool traces = resources_.watch.tables().policy() != ShadowPolicy::Tlb;
  hashes_.note_verified(view, [&](Region region, TableTraces::Finding finding) {
    if (!traces) return;
    const GuestTables::Tables behind = resources_.tables.tables_behind(region);
    for (uint32_t i = 0; i < behind.count; ++i) note_compared(behind.links[i], finding);
  });
}

void AddressSpaces::note_compared(const TableLink& link, TableTraces::Finding finding) {
  if (!resources_.watch.tables().note_compared(link, finding, flush_epoch_)) return;
  const uint64_t content = resources_.tables.content(link.table);
  if (content != 0) resources_.watch.trace_table(link.table, content);
}

void AddressSpaces::note_soft_fill(const Translation& translation) {
  if (translation.levels != 2) return;
  const GuestPhysical table = resources_.physical.masked(translation.entries[1].address);
  note_compared(
      {GuestPhysicalPage::of(table), translation.entries[0].address, resources_.tables.mode().pae},
      TableTraces::Finding::Same);
}

// Checks the mappings of regions whose tables have the same number as when they were verified. A
// read-only mapping of a page that has become dirty since is still right.
void AddressSpaces::verify_what_is_unchanged(const CodeView& view, Privilege privilege) const {
  for (uint32_t i = 0; i < Region::kCount && view.window != nullptr; ++i) {
    const Region region(i);
    const uint64_t verified = view.verified_tables[i];
    if (verified == 0 || verified != resources_.stamp(region)) continue;
    for (uint32_t page = 0; page < Region::kPages; ++page) {
      const ShadowMapping* mapping = view.window->find(region.page(page));
      if (mapping == nullptr) continue;
      const std::optional<Translation> now = tables_say(mapping->virtual_page, privilege);
      CHECK(now && GuestPhysicalPage::of(now->physical) == mapping->physical_page);
      CHECK(!mapping->may_write || (now->writable && now->writable_user && now->dirty));
    }
  }
}

void AddressSpaces::verify_soft_entries() const {
  resources_.soft_tlbs.for_each_local([this](const SoftTlbs::Kept& kept) {
    if (kept.stamp != resources_.stamp(Region::of(kept.page()))) return;
    const WalkResult now =
        resources_.tables.probe(kept.page().address(), AccessKind::Read, kept.privilege);
    CHECK(!now.fault && GuestTables::is_accessed(now.translation));
    CHECK(GuestPhysicalPage::of(now.translation.physical) == resources_.page_at(kept.host_page()));
    CHECK(!kept.may_write() || (now.translation.writable && now.translation.dirty));
  });
}

// ---- INVLPG ----

void AddressSpaces::invalidate_view(CodeView& view, GuestVirtualPage page, Privilege privilege) {
  if (view.window != nullptr) invalidate_in(*view.window, page, privilege, view);
  if (view.direct != nullptr) invalidate_in(view.direct->shadow(), page, privilege, view);
}

// The page goes unless the tables still say the same of it, or with all around it if it came from a
// large page.
void AddressSpaces::invalidate_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege,
                                  CodeView& view) {
  // Any part of a large page may be there without `page`, or without its beginning.
  if (space.has_large(page)) return space.drop_region(page);
  const ShadowMapping* mapping = space.find(page);
  if (mapping == nullptr) return;
  const std::optional<Translation> now = tables_say(page, privilege);
  if (now && is_shadow_of(*mapping, *now)) return;
  const bool is_window = space.base().value() != 0;
  if (is_window) resources_.churn.note_change(page, resources_.churn_space(privilege));
  const bool may_be_replaced =
      now && !mapping->is_executable && is_window &&
      !resources_.churn.is_churning(page, resources_.churn_space(privilege));
  if (!may_be_replaced || !replace_in(space, page, *now, view)) space.drop(page);
}

// The old page was in use, so the new one will be: mapping it at once saves the fault that would
// come. False: it is not mapped, and the old page may still be.
bool AddressSpaces::replace_in(ShadowSpace& space, GuestVirtualPage page, const Translation& now,
                               CodeView& view) {
  const GuestPhysicalPage physical = GuestPhysicalPage::of(now.physical);
  const ShadowRun run = GuestPages::run_of(page.address(), {now, physical});
  if (run.is_large || !resources_.physical.is_ram(physical) || resources_.watched.contains(page))
    return false;
  resources_.note_added(view, Region::of(page));
  return space.fill(run);
}

void AddressSpaces::recheck_code_page(CodeView& view, GuestVirtualPage page, Privilege privilege) {
  auto it = view.pages.find(page);
  if (it == view.pages.end() || still_maps(page, it->second, privilege)) return;
  forget_code_page(view, page, it->second.physical);
  view.pages.erase(it);
}

// INVLPG drops all of a large page, whichever of its addresses it names (SDM 3A 4.10.4.1).
void AddressSpaces::recheck_code_after_invlpg(CodeView& view, GuestVirtualPage page,
                                              Privilege privilege) {
  recheck_code_page(view, page, privilege);
  const Region region = Region::of(page);
  if (!view.large_regions[region.index()]) return;
  for (uint32_t i = 0; i < Region::kPages; ++i) {
    recheck_code_page(view, region.page(i), privilege);
  }
}

// The page is another frame now. Code that may be linked across pages (the supervisor's, and that
// of a view with code of its own) is dropped; other user code is reached only through the view's
// jump table.
void AddressSpaces::forget_code_page(CodeView& view, GuestVirtualPage page, GuestPhysicalPage was) {
  view.jumps->clear_page(page);
  if (&view == &supervisor_ || view.id != 0) {
    pending_remaps_.push_back({was, page, view.id});
    has_pending_work_ = true;
  }
  if (&view != &supervisor_) user_returns_stale_ = true;
}

// ---- the supervisor ----

void AddressSpaces::supervisor_flushed(Flush flush) {
  if (!resources_.tables.mode().paging) return;  // nothing held depends on them
  const bool holds_local =
      supervisor_.window->local_pages() != 0 || supervisor_.local_regions.any();
  if (flush == Flush::Local && !holds_local) return;
  unverified_flush_ = std::max(unverified_flush_, flush);
  if (deferrals_left_ == 0) return verify_supervisor();
  --deferrals_left_;
  supervisor_unverified_ = true;
}

// Where the supervisor may hold something that has been flushed.
std::bitset<Region::kCount> AddressSpaces::flushed_regions(Flush flush) const {
  std::bitset<Region::kCount> regions = supervisor_.local_regions;
  if (flush == Flush::All) return regions.set();
  supervisor_.window->for_each_local([&regions](Region region) { regions.set(region.index()); });
  return regions;
}

void AddressSpaces::verify_supervisor() {
  const Flush flush = std::exchange(unverified_flush_, Flush::Local);
  supervisor_unverified_ = false;
  begin_verification();
  const std::bitset<Region::kCount> regions = flushed_regions(flush);
  ShadowSpace& window = *supervisor_.window;
  const size_t held = window.mapped_pages() + supervisor_.pages.size();
  window.retain(
      [this](const ShadowMapping& mapping) {
        return still_shadows(mapping, Privilege::Supervisor);
      },
      [this, &regions](Region region) {
        return !regions[region.index()] || hashes_.unchanged(supervisor_, region);
      });
  verify_supervisor_code(regions);
  note_verified(supervisor_);
  // So much lost at once means other tables altogether, which will be changed back soon.
  const size_t lost = held - window.mapped_pages() - supervisor_.pages.size();
  if (lost > kLossOfOtherTables) deferrals_left_ = kDeferrals;
}

// Of these regions, has one changed in which the view has code? Each is looked at, so that it
// counts as verified.
bool AddressSpaces::has_changed_code(const CodeView& view,
                                     const std::bitset<Region::kCount>& regions) {
  bool has_changed = false;
  for_each_set(view.code_regions, [&](uint32_t index) {
    if (regions[index] && !hashes_.unchanged(view, Region(index))) has_changed = true;
  });
  return has_changed;
}

void AddressSpaces::verify_supervisor_code(const std::bitset<Region::kCount>& regions) {
  if (!has_changed_code(supervisor_, regions)) return;
  std::vector<GuestVirtualPage> suspects;
  for (const auto& [page, code] : supervisor_.pages) {
    const Region region = Region::of(page);
    if (regions[region.index()] && !hashes_.unchanged(supervisor_, region))
      suspects.push_back(page);
  }
  for (GuestVirtualPage page : suspects) {
    recheck_code_page(supervisor_, page, Privilege::Supervisor);
  }
  supervisor_.local_regions.reset();
  supervisor_.code_regions.fill(0);
  for (const auto& [page, code] : supervisor_.pages) {
    supervisor_.note_code_in(Region::of(page));
    if (!code.is_global) supervisor_.local_regions.set(Region::of(page).index());
  }
}

// ---- a user view ----

void AddressSpaces::verify_user_view(CodeView& view) {
  view.verified_in = flush_epoch_;
  begin_verification();
  if (has_changed_code(view, std::bitset<Region::kCount>().set())) verify_user_code(view);
  if (view.window != nullptr) verify_space(*view.window, view);
  if (view.direct != nullptr) verify_space(view.direct->shadow(), view);
  note_verified(view);
}

void AddressSpaces::verify_user_code(CodeView& view) {
  const size_t held = view.pages.size();
  view.code_regions.fill(0);
  for (auto it = view.pages.begin(); it != view.pages.end();) {
    if (hashes_.unchanged(view, Region::of(it->first)) ||
        still_maps(it->first, it->second, Privilege::User)) {
      view.note_code_in(Region::of(it->first));
      ++it;
      continue;
    }
    forget_code_page(view, it->first, it->second.physical);
    it = view.pages.erase(it);
  }
  // Most of its code gone: another program has got the page directory, and starts as new ones do.
  if (view.pages.size() * 2 < held) start_afresh(view);
}

void AddressSpaces::verify_space(ShadowSpace& space, const CodeView& view) {
  space.retain(
      [this](const ShadowMapping& mapping) { return still_shadows(mapping, Privilege::User); },
      [this, &view](Region region) { return hashes_.unchanged(view, region); });
}

void AddressSpaces::verify_invariants() const {
  const GuestMemory& ram = resources_.physical.ram();
  resources_.soft_tlbs.for_each_writable([this, &ram](uint64_t host_page) {
    const GuestPhysicalPage page = resources_.page_at(host_page);
    CHECK(!ram.is_shared(page) && !resources_.watch.watches(page));
  });
  resources_.soft_tlbs.for_each_beside_code(
      [this, &ram](GuestVirtualPage linear, uint64_t host_page, uint64_t code_bytes) {
        const GuestPhysicalPage page = resources_.page_at(host_page);
        CHECK(!ram.is_shared(page));
        CHECK(resources_.watch.are_code_bytes(page, code_bytes, linear));
      });
  resources_.soft_tlbs.deliver_marks();
  verify_soft_entries();
  verify_what_is_unchanged(supervisor_, Privilege::Supervisor);
  if (const CodeView* user = users_.current()) verify_what_is_unchanged(*user, Privilege::User);
  resources_.watch.tables().verify_invariants(
      [&ram](GuestPhysicalPage page) { return ram.span(page.address(), kPageSize); });
  ram.verify_invariants();
  resources_.linear.verify_invariants();
  supervisor_.window->verify_invariants();
  if (parked_.window != nullptr) parked_.window->verify_invariants();
  users_.for_each([](const CodeView& view) {
    if (view.window != nullptr) view.window->verify_invariants();
    if (view.direct != nullptr) view.direct->shadow().verify_invariants();
  });
  cache_->verify_invariants();
  cache_->for_each([this](const Fragment& fragment) {
    CHECK(resources_.watch.traces().is_traced_for(GuestPhysicalPage::of(fragment.key.physical),
                                                  TraceReason::TranslatedCode));
  });
}

}  // namespace ringshift

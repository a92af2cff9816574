// The part of Coherence that compares what it holds with the guest's tables after a flush.
#include <algorithm>
#include <utility>

#include "monitor/spaces/coherence.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/walker.h"

namespace ringshift {
namespace {

// Pages lost in one verification that tell other tables from changed ones, and for how many flushes
// verification then waits (Coherence::supervisor_needs_verification).
constexpr size_t kLossOfOtherTables = 128;
constexpr uint32_t kDeferrals = 10000;
constexpr uint64_t kEntryAccessed = 1U << 5;

}  // namespace

bool Coherence::entry_is_accessed(const Translation& translation) const {
  for (uint8_t i = 0; i < translation.levels; ++i) {
    if ((translation.entries[i].value & kEntryAccessed) == 0) return false;
  }
  return true;
}

// What the tables say of a page that this privilege may hold as it is: nothing if it is absent, not
// accessed yet, or the other privilege's.
std::optional<Translation> Coherence::tables_say(GuestVirtualPage page, Privilege privilege) {
  const WalkResult result = probe(mode_, physical_, page.address(), AccessKind::Read, privilege);
  const Translation& now = result.translation;
  const bool is_user = privilege == Privilege::User;
  if (result.fault || !entry_is_accessed(now) || now.user != is_user) return std::nullopt;
  return now;
}

bool Coherence::is_shadow_of(const ShadowMapping& mapping, const Translation& now) const {
  return GuestPhysicalPage::of(physical_.masked(now.physical)) == mapping.physical_page &&
         (now.page_bytes >= kSmallestLargePage) == mapping.is_large &&
         now.global == mapping.is_global && (now.writable && now.dirty) == mapping.may_write &&
         (now.executable || !mapping.is_executable);
}

bool Coherence::still_shadows(const ShadowMapping& mapping, Privilege privilege) {
  const std::optional<Translation> now = tables_say(mapping.virtual_page, privilege);
  return now && is_shadow_of(mapping, *now);
}

// INVLPG: the page goes unless the tables still say the same of it, or with all around it if it
// came from a large page.
void Coherence::invalidate_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege) {
  // Any part of a large page may be there without `page`, or without its beginning.
  if (space.has_large(page)) return space.drop_region(page);
  const ShadowMapping* mapping = space.find(page);
  if (mapping == nullptr) return;
  const std::optional<Translation> now = tables_say(page, privilege);
  if (now && is_shadow_of(*mapping, *now)) return;
  const bool may_be_replaced = now && !mapping->is_executable && space.base().value() != 0;
  if (!may_be_replaced || !replace_in(space, page, privilege, *now)) space.drop(page);
}

// What had been mapped there was in use, so the page the tables name now will be: mapping it at
// once saves the fault that would come. False: it is not mapped; what was there may still be.
bool Coherence::replace_in(ShadowSpace& space, GuestVirtualPage page, Privilege privilege,
                           const Translation& now) {
  if (!physical_.is_ram(GuestPhysicalPage::of(physical_.masked(now.physical)))) return false;
  const ShadowRun run = run_for(page.address(), now);
  if (run.is_large || is_watched(page)) return false;
  view_of(privilege).verified_tables[page.address().value() >> 22] = 0;
  return space.fill(run);
}

// What we hold is compared with the tables and kept where these still say the same: a flush does
// not lose what is still true.
void Coherence::supervisor_flushed(Flush flush) {
  const bool holds_local = window_->local_pages() != 0 || supervisor_.local_regions.any();
  if (flush == Flush::Local && !holds_local) return;
  unverified_flush_ = std::max(unverified_flush_, flush);
  if (deferrals_left_ == 0) return verify_supervisor();
  --deferrals_left_;
  supervisor_unverified_ = true;
}

// Where the supervisor may hold something that has been flushed.
std::bitset<kRegions> Coherence::flushed_regions(Flush flush) const {
  std::bitset<kRegions> regions = supervisor_.local_regions;
  if (flush == Flush::All) return regions.set();
  for (uint32_t region = 0; region < kRegions; ++region) {
    if (window_->has_local(region)) regions.set(region);
  }
  return regions;
}

void Coherence::verify_supervisor() {
  const Flush flush = std::exchange(unverified_flush_, Flush::Local);
  supervisor_unverified_ = false;
  begin_verification();
  const std::bitset<kRegions> regions = flushed_regions(flush);
  const size_t held = window_->mapped_pages() + supervisor_.pages.size();
  window_->retain(
      [this](const ShadowMapping& mapping) {
        return still_shadows(mapping, Privilege::Supervisor);
      },
      [this, &regions](uint32_t region) {
        return !regions[region] || tables_unchanged(supervisor_, region);
      });
  verify_supervisor_code(regions);
  note_verified(supervisor_);
  // So much lost at once means other tables altogether, which will be changed back soon.
  const size_t lost = held - window_->mapped_pages() - supervisor_.pages.size();
  if (lost > kLossOfOtherTables) deferrals_left_ = kDeferrals;
}

uint64_t Coherence::hash_directory_entry(uint64_t entry) {
  constexpr uint64_t kPresent = 1;
  constexpr uint64_t kLargePage = 1U << 7;
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  const bool is_large = (entry & kLargePage) != 0 && (mode_.pae || mode_.pse);
  if ((entry & kPresent) == 0 || is_large) return (entry + 1) * kMultiplier;
  const GuestPhysical table = physical_.masked(GuestPhysical(entry & 0xffffff000U));
  if (!physical_.ram().contains(table, kPageSize)) return 0;
  return hash_bytes({physical_.ram().at(table), kPageSize}, entry);
}

// The tables behind 4 MiB of linear space as one number; 0 when there is no telling.
uint64_t Coherence::hash_tables(uint32_t region) {
  if (!mode_.paging) return 0;
  if (!mode_.pae) {
    const GuestPhysical directory(mode_.cr3 & 0xfffff000U);
    return hash_directory_entry(physical_.read_entry32(directory + region * 4));
  }
  const uint64_t pointer = mode_.pdpte[region >> 8];
  if ((pointer & 1) == 0) return 1;
  const GuestPhysical first((pointer & 0xffffff000U) + (region & 0xffU) * 16);
  const uint64_t low = hash_directory_entry(physical_.read_entry64(first));
  const uint64_t high = hash_directory_entry(physical_.read_entry64(first + 8));
  return low == 0 || high == 0 ? 0 : (low * 31) ^ high;
}

void Coherence::begin_verification() {
  ++verification_pass_;
  hashed_regions_.clear();
}

// Within one verification pass the guest does not run, so a hash is computed once.
bool Coherence::tables_unchanged(const CodeView& view, uint32_t region) {
  if (table_hash_pass_[region] != verification_pass_) {
    table_hash_pass_[region] = verification_pass_;
    table_hash_[region] = hash_tables(region);
    hashed_regions_.push_back(region);
  }
  return table_hash_[region] != 0 && view.verified_tables[region] == table_hash_[region];
}

// All that is left in these regions of the view has just been found true, against tables with these
// hashes. Of the others nothing is new: what is held there was true of tables with the old hash.
void Coherence::note_verified(CodeView& view) {
  for (const uint32_t region : hashed_regions_) view.verified_tables[region] = table_hash_[region];
}

bool Coherence::still_maps(GuestVirtualPage page, CodePage& code, Privilege privilege) {
  const WalkResult result = probe(mode_, physical_, page.address(), AccessKind::Fetch, privilege);
  code.is_global = result.translation.global;
  return !result.fault && entry_is_accessed(result.translation) &&
         GuestPhysicalPage::of(physical_.masked(result.translation.physical)) == code.physical;
}

// The page is another frame now. Code that may be linked across pages (the supervisor's, and that
// of a view with a window) is dropped; other user code is reached only through the view's jump
// table.
void Coherence::forget_code_page(CodeView& view, GuestVirtualPage page, GuestPhysicalPage was) {
  view.jumps->clear_page(page);
  if (&view == &supervisor_ || view.id != 0) {
    pending_remaps_.push_back({was, page, view.id});
    has_pending_work_ = true;
  }
  if (&view != &supervisor_) user_returns_stale_ = true;
}

void Coherence::recheck_code_page(CodeView& view, GuestVirtualPage page, Privilege privilege) {
  auto it = view.pages.find(page);
  if (it == view.pages.end() || still_maps(page, it->second, privilege)) return;
  forget_code_page(view, page, it->second.physical);
  view.pages.erase(it);
}

// INVLPG drops all of a large page, whichever of its addresses it names (SDM 3A 4.10.4.1).
void Coherence::recheck_code_after_invlpg(CodeView& view, GuestVirtualPage page,
                                          Privilege privilege) {
  constexpr uint32_t kRegionPages = 1024;
  recheck_code_page(view, page, privilege);
  const uint32_t region = page.number() / kRegionPages;
  if (!view.large_regions[region]) return;
  for (uint32_t i = 0; i < kRegionPages; ++i) {
    recheck_code_page(view, GuestVirtualPage(region * kRegionPages + i), privilege);
  }
}

void Coherence::verify_supervisor_code(const std::bitset<kRegions>& regions) {
  std::vector<GuestVirtualPage> suspects;
  for (const auto& [page, code] : supervisor_.pages) {
    const uint32_t region = page.number() >> 10;
    if (regions[region] && !tables_unchanged(supervisor_, region)) suspects.push_back(page);
  }
  for (GuestVirtualPage page : suspects) {
    recheck_code_page(supervisor_, page, Privilege::Supervisor);
  }
  supervisor_.local_regions.reset();
  for (const auto& [page, code] : supervisor_.pages) {
    if (!code.is_global) supervisor_.local_regions.set(page.number() >> 10);
  }
}

void Coherence::verify_user_view(CodeView& view) {
  view.verified_in = flush_epoch_;
  begin_verification();
  const size_t held = view.pages.size();
  for (auto it = view.pages.begin(); it != view.pages.end();) {
    if (tables_unchanged(view, it->first.number() >> 10) ||
        still_maps(it->first, it->second, Privilege::User)) {
      ++it;
      continue;
    }
    forget_code_page(view, it->first, it->second.physical);
    it = view.pages.erase(it);
  }
  // Most of its code gone: another program has got the page directory, and starts as new ones do.
  if (view.pages.size() * 2 < held) start_afresh(view);
  if (view.window != nullptr) {
    view.window->retain(
        [this](const ShadowMapping& mapping) { return still_shadows(mapping, Privilege::User); },
        [this, &view](uint32_t region) { return tables_unchanged(view, region); });
  }
  if (view.direct != nullptr) {
    view.direct->shadow().retain(
        [this](const ShadowMapping& mapping) { return still_shadows(mapping, Privilege::User); },
        [this, &view](uint32_t region) { return tables_unchanged(view, region); });
  }
  note_verified(view);
}

}  // namespace ringshift

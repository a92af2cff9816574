#include "monitor/spaces/coherence.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/host_mapping.h"
#include "shadowmmu/walker.h"

namespace ringshift {
namespace {

constexpr size_t kUserWindows = 8;
// A hostile guest could make each of these grow with its linear space; none is worth that much.
constexpr size_t kCodePagesInView = 32 * 1024;
constexpr size_t kRememberedSites = 32 * 1024;
constexpr size_t kUserViews = 96;
constexpr uint32_t kPagesWorthOfView = 32;  // of 8 KiB: its jump table
// In the kernel a site that faults touches user pages or traced ones and will do so again. In user
// code most faults are first touches.
constexpr uint32_t kSupervisorFaultsBeforeSoft = 2;
constexpr uint32_t kUserFaultsBeforeSoft = 64;
// Soft exits, of some 200 ns each, after which a window (8 us a page) begins to pay.
constexpr uint64_t kWorkBeforeWindow = 2500;
// Ticks of 4 ms, most often, after which code of its own (1,000 cycles an instruction) begins to
// pay: linked across pages, it runs half as fast again.
constexpr uint32_t kTicksBeforeOwnCode = 8;
constexpr uint32_t kUnpagedRun = 4U << 20;

}  // namespace

Coherence::Coherence(PhysicalMemory& physical, LinearMemory& linear, const GuestState& state)
    : physical_(physical),
      linear_(linear),
      state_(state),
      budgets_(share_out(most_host_mappings(), &refusals_)),
      traces_(physical.ram().size()),
      reverse_(physical.ram().size()) {}

std::unique_ptr<Coherence> Coherence::create(PhysicalMemory& physical, LinearMemory& linear,
                                             const GuestState& state, std::string* error) {
  auto coherence = std::unique_ptr<Coherence>(new Coherence(physical, linear, state));
  coherence->window_ = ShadowSpace::create(physical.ram(), coherence->reverse_, coherence->traces_,
                                           coherence->budgets_.supervisor, error);
  if (coherence->window_ == nullptr) return nullptr;
  coherence->supervisor_.jumps = JumpTable::create(error);
  coherence->spare_jumps_ = JumpTable::create(error);
  if (coherence->supervisor_.jumps == nullptr || coherence->spare_jumps_ == nullptr) {
    return nullptr;
  }
  return coherence;
}

// What the guest does decides how many mappings the windows take, so the sum of their budgets stays
// well below what the host allows: the rest is ours. A sandboxed process has a limit of its own.
Coherence::Budgets Coherence::share_out(uint32_t most_mappings, HostRefusals* refusals) {
  constexpr uint32_t kMostUseful = 1U << 20;
  const uint32_t most = std::min(most_mappings, kMostUseful);
  const uint32_t kept = 1024 + most / 8;
  const uint32_t shared = most > kept ? most - kept : 0;
  const auto user = static_cast<uint32_t>(shared / 14);
  const auto supervisor = static_cast<uint32_t>(shared - user * kUserWindows);
  return {.supervisor = {supervisor, 256 * 1024, refusals},
          .user = {user, 16 * 1024, refusals},
          .direct = {most - most / 8, 64 * 1024, refusals}};
}

void Coherence::attach(Gate* gate, TranslationCache* cache, CodeArena* arena) {
  gate_ = gate;
  cache_ = cache;
  arena_ = arena;
  mode_ = linear_.paging_mode();
  soft_tlbs_.attach(&gate->frame());
}

// ---- notifications: take note, flush what holds no code ----

void Coherence::on_write(GuestPhysical address, uint32_t length) {
  const GuestPhysicalPage page = GuestPhysicalPage::of(address);
  if (!traces_.is_traced(page)) return;
  counters().trace_writes_code++;
  // Data beside translated code: stacks and variables of programs that were never meant to be
  // paged. A page that has no code any more loses its trace; one that may run directly is examined
  // anew.
  const bool is_beside_code = cache_->has_code(page) && !cache_->may_hold_code(address, length);
  if (is_beside_code && !traces_.is_traced_for(page, TraceReason::DirectCode)) return;
  has_pending_work_ = true;
  if (!pending_writes_.empty()) {
    PendingWrite& last = pending_writes_.back();
    const bool continues =
        last.address + last.length == address && GuestPhysicalPage::of(last.address) == page;
    if (continues) {
      last.length += length;
      return;
    }
  }
  if (pending_writes_.size() >= most_pending_writes_) merge_pending_writes();
  pending_writes_.push_back({address, length});
}

// Interpreted code may write for long before the next safe point that applies: then whole pages.
void Coherence::merge_pending_writes() {
  std::unordered_set<GuestPhysicalPage> pages;
  for (const PendingWrite& write : pending_writes_)
    pages.insert(GuestPhysicalPage::of(write.address));
  pending_writes_.clear();
  for (const GuestPhysicalPage page : pages) pending_writes_.push_back({page.address(), kPageSize});
  // More pages than entries: they are as few as the guest has pages of code.
  most_pending_writes_ = std::max(kMostPendingWrites, 2 * pending_writes_.size());
}

// What every flush of the guest's TLB begins with, whatever else it takes with it.
void Coherence::begin_flush(Flush flush) {
  ++flush_epoch_;
  current_user_ = nullptr;
  user_returns_stale_ = true;
  if (flush == Flush::Local) return soft_tlbs_.flush_all_but_global();
  soft_tlbs_.flush();
}

void Coherence::on_cr3_loaded() {
  counters().cr3_loads++;
  mode_ = linear_.paging_mode();
  const Flush flush = mode_.global ? Flush::Local : Flush::All;
  begin_flush(flush);
  supervisor_flushed(flush);
}

void Coherence::on_page_invalidated(GuestVirtual address) {
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  invalidate_in(*window_, page, Privilege::Supervisor);
  if (current_user_ != nullptr && current_user_->window != nullptr) {
    invalidate_in(*current_user_->window, page, Privilege::User);
  }
  if (current_user_ != nullptr && current_user_->direct != nullptr) {
    invalidate_in(current_user_->direct->shadow(), page, Privilege::User);
  }
  soft_tlbs_.flush_page(page);
  recheck_code_after_invlpg(supervisor_, page, Privilege::Supervisor);
  if (current_user_ != nullptr) recheck_code_after_invlpg(*current_user_, page, Privilege::User);
}

void Coherence::on_paging_mode_changed() {
  const PagingMode old = mode_;
  mode_ = linear_.paging_mode();
  begin_flush(Flush::All);
  // Toggling CR4.PGE is how kernels flush global translations: most of what we hold is still true.
  PagingMode same_but_global = old;
  same_but_global.global = mode_.global;
  if (mode_.paging && same_but_global == mode_) {
    supervisor_flushed(Flush::All);
    return;
  }
  forget_all_mappings();
}

void Coherence::on_a20_changed() {
  begin_flush(Flush::All);
  forget_all_mappings();
}

void Coherence::forget_all_mappings() {
  window_->drop_all();
  drop_user_views();
  supervisor_.pages.clear();
  supervisor_.local_regions.reset();
  supervisor_.jumps->clear();
  pending_unlink_ = true;  // links were made for the old mapping of linear to physical pages
  has_pending_work_ = true;
}

// The view is soft again. Code made for it alone is found no more, and goes with the next drop_all.
void Coherence::give_up_window(CodeView& view) {
  if (view.window == nullptr) return;
  view.window.reset();
  view.id = 0;
  view.ticks = 0;
  view.work = 0;
  view.jumps->clear();
  user_returns_stale_ = true;
}

// Another program lives here now: nothing learnt about the last one holds.
void Coherence::start_afresh(CodeView& view) {
  give_up_window(view);
  view.direct.reset();
  view.policy = UserPolicy();
  view.sensitive_pages.clear();
}

// ---- views ----

CodeView& Coherence::view_of(Privilege privilege) {
  return privilege == Privilege::Supervisor ? supervisor_ : current_user_view();
}

CodeView& Coherence::current_user_view() {
  if (current_user_ != nullptr) return *current_user_;
  auto it = users_.find(state_.cr3);
  if (it == users_.end()) {
    if (users_.size() >= kUserViews) evict_user_view();
    std::unique_ptr<JumpTable> jumps = make_jump_table();
    it = users_.try_emplace(state_.cr3).first;
    it->second.jumps = std::move(jumps);
    it->second.last_used = ++use_clock_;
    note_growth(kPagesWorthOfView);
  }
  current_user_ = &it->second;
  current_user_->last_used = ++use_clock_;
  if (current_user_->verified_in != flush_epoch_) verify_user_view(*current_user_);
  return *current_user_;
}

// The host may refuse one more. Then there is the spare one, or the view that has it can do
// without.
std::unique_ptr<JumpTable> Coherence::make_jump_table() {
  std::string error;
  if (!refusals_.refuses()) {
    if (std::unique_ptr<JumpTable> made = JumpTable::create(&error)) return made;
  }
  if (spare_jumps_ == nullptr) evict_user_view();
  CHECK(spare_jumps_ != nullptr);
  spare_jumps_->clear();
  return std::move(spare_jumps_);
}

// Pre: there is one, and it is not the current one.
void Coherence::evict_user_view() {
  auto oldest = std::min_element(users_.begin(), users_.end(), [](const auto& a, const auto& b) {
    return a.second.last_used < b.second.last_used;
  });
  if (spare_jumps_ == nullptr) spare_jumps_ = std::move(oldest->second.jumps);
  users_.erase(oldest);
}

void Coherence::drop_user_views() {
  current_user_ = nullptr;
  if (spare_jumps_ == nullptr) spare_jumps_ = std::move(users_.begin()->second.jumps);
  users_.clear();
}

size_t Coherence::user_view_bytes() const {
  size_t bytes = 0;
  for (const auto& [cr3, view] : users_) bytes += view.bytes();
  return bytes;
}

// Weighing the views takes a while, so they are weighed after so many pages more. A page takes 8
// KiB at most: a record, and the tables of its 2 MiB.
void Coherence::note_growth(uint32_t pages) {
  constexpr uint32_t kPagesBetweenWeighings = 512;
  grown_pages_ += pages;
  if (grown_pages_ < kPagesBetweenWeighings) return;
  grown_pages_ = 0;
  keep_views_in_bounds();
}

// The least recently used views go, whatever of their parts is so large. The current one stays: by
// the bounds of its parts it takes half of what there is at most.
void Coherence::keep_views_in_bounds() {
  size_t bytes = user_view_bytes();
  while (bytes > kMostViewBytes && users_.size() > 1) {
    counters().user_views_evicted++;
    evict_user_view();
    bytes = user_view_bytes();
  }
}

ShadowSpace* Coherence::window_of(Privilege privilege) {
  return privilege == Privilege::Supervisor ? window_.get() : current_user_view().window.get();
}

std::optional<GuestVirtual> Coherence::window_address(uint64_t host_address, Privilege privilege) {
  const ShadowSpace* window = window_of(privilege);
  if (window == nullptr) return std::nullopt;
  return window->linear_of(host_address);
}

// Of the user views that hold what is asked about, the least recently used one, if at least `most`
// do; otherwise null.
CodeView* Coherence::least_recent_if_full(size_t most, bool (*holds)(const CodeView&)) {
  CodeView* oldest = nullptr;
  size_t holders = 0;
  for (auto& [cr3, view] : users_) {
    if (!holds(view)) continue;
    ++holders;
    if (oldest == nullptr || view.last_used < oldest->last_used) oldest = &view;
  }
  return holders < most ? nullptr : oldest;
}

// The least recently used window goes when there are too many; its view is soft again.
void Coherence::make_room_for_window() {
  CodeView* oldest = least_recent_if_full(
      kUserWindows, [](const CodeView& view) { return view.window != nullptr; });
  if (oldest != nullptr) give_up_window(*oldest);
}

bool Coherence::note_user_work(uint64_t amount) {
  CodeView& view = current_user_view();
  if (view.window != nullptr) return false;
  view.work += amount;
  if (view.work < kWorkBeforeWindow) return false;
  view.work = 0;
  make_room_for_window();
  std::string error;
  if (refusals_.refuses()) return false;
  view.window = ShadowSpace::create(physical_.ram(), reverse_, traces_, budgets_.user, &error);
  if (view.window == nullptr) return false;  // the host refused: soft accesses go on serving
  counters().user_windows++;
  view.jumps->clear();
  user_returns_stale_ = true;
  return true;
}

void Coherence::note_user_tick() {
  CodeView& view = current_user_view();
  if (view.window == nullptr || view.id != 0 || ++view.ticks < kTicksBeforeOwnCode) return;
  view.id = ++views_with_own_code_;
  counters().user_views_with_own_code++;
  view.jumps->clear();
  user_returns_stale_ = true;
}

void Coherence::select_view(Privilege privilege) {
  CodeView& view = view_of(privilege);
  Slots& slots = gate_->frame().slots;
  slots.jump_table = view.jumps->address();
  // Without a window the view's fragments are soft and never use the base.
  settle(privilege);
  const ShadowSpace* window = window_of(privilege);
  slots.window_base = window != nullptr ? window->base().value() : 0;
  slots.window_negated = 0 - slots.window_base;
  if (privilege == Privilege::User && user_returns_stale_) {
    gate_->reset_return_stack(Privilege::User);
    user_returns_stale_ = false;
  }
  gate_->select_return_stack(privilege);
}

void Coherence::set_jump(const Fragment& fragment) {
  view_of(fragment.key.privilege)
      .jumps->set(fragment.key.eip, static_cast<uint32_t>(fragment.code.address - arena_->base()));
}

// ---- code ----

std::span<const uint8_t> Coherence::code_at(GuestVirtual address, Privilege privilege,
                                            GuestPhysical* physical) {
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  CodeView& view = view_of(privilege);
  auto it = view.pages.find(page);
  if (it == view.pages.end()) {
    const WalkResult result = walk(mode_, physical_, page.address(), AccessKind::Fetch, privilege);
    if (result.fault) return {};
    const GuestPhysicalPage at =
        GuestPhysicalPage::of(physical_.masked(result.translation.physical));
    if (!physical_.is_ram(at)) return {};
    if (view.pages.size() >= kCodePagesInView) forget_all_mappings();
    CodeView& holder = view_of(privilege);  // forgetting may have replaced it
    it = holder.pages.emplace(page, CodePage{at, result.translation.global}).first;
    const uint32_t region = address.value() >> 22;
    if (!result.translation.global) holder.local_regions.set(region);
    holder.verified_tables[region] = 0;
    if (result.translation.page_bytes >= kSmallestLargePage) holder.large_regions.set(region);
    if (privilege == Privilege::User) note_growth(1);
  }
  *physical = it->second.physical.address() + address.offset_in_page();
  return physical_.ram().span(*physical, kPageSize - address.offset_in_page());
}

std::optional<TranslationKey> Coherence::key_for(uint32_t eip, Privilege privilege) {
  GuestPhysical physical;
  if (code_at(GuestVirtual(eip), privilege, &physical).empty()) return std::nullopt;
  TranslationKey key;
  key.eip = eip;
  key.physical = physical;
  key.privilege = privilege;
  key.style = window_of(privilege) != nullptr ? AccessStyle::Window : AccessStyle::Soft;
  key.view = view_of(privilege).id;
  return key;
}

bool Coherence::second_page_holds(const Fragment& fragment) {
  GuestPhysical physical;
  const GuestVirtual end(fragment.key.eip + kPageSize);
  return !code_at(end.page_base(), fragment.key.privilege, &physical).empty() &&
         GuestPhysicalPage::of(physical) == fragment.second_page();
}

void Coherence::ensure_code_trace(GuestPhysicalPage page) {
  trace_page(page, TraceReason::TranslatedCode);
}

void Coherence::trace_page(GuestPhysicalPage page, TraceReason reason) {
  const bool was_traced = traces_.is_traced(page);
  if (!traces_.add(page, reason) || was_traced) return;
  counters().traces_code++;
  ShadowSpace::protect_all(reverse_.of(page));
  linear_.flush_physical_page(page);
  soft_tlbs_.flush();
}

void Coherence::on_fragment_dropped(const Fragment& fragment) {
  const auto offset = static_cast<uint32_t>(fragment.code.address - arena_->base());
  supervisor_.jumps->clear_if(fragment.key.eip, offset);
  for (auto& [cr3, view] : users_) view.jumps->clear_if(fragment.key.eip, offset);
  gate_->reset_return_stack(Privilege::Supervisor);
  gate_->reset_return_stack(Privilege::User);
}

// Copies are of user code only.
void Coherence::on_copies_dropped() {
  for (auto& [cr3, view] : users_) view.jumps->clear();
  gate_->reset_return_stack(Privilege::User);
}

// Everything is translated anew, so each site gets another chance: its reason may be gone, or its
// page may hold other code by now.
void Coherence::on_all_dropped() {
  soft_sites_.clear();
  site_faults_.clear();
  supervisor_.jumps->clear();
  for (auto& [cr3, view] : users_) view.jumps->clear();
  gate_->reset_return_stack(Privilege::Supervisor);
  gate_->reset_return_stack(Privilege::User);
}

void Coherence::apply(const SafePoint& safe) {
  if (!has_pending_work_) return;
  has_pending_work_ = false;
  for (const PendingWrite& write : pending_writes_) {
    const GuestPhysicalPage page = GuestPhysicalPage::of(write.address);
    cache_->drop_overlapping(write.address, write.length, safe);
    if (!cache_->has_code(page)) traces_.remove(page, TraceReason::TranslatedCode);
    revoke_direct_execution(page);
  }
  pending_writes_.clear();
  for (const PendingRemap& remap : pending_remaps_) {
    cache_->drop_mapped_at(remap.physical, remap.linear, remap.view, safe);
  }
  pending_remaps_.clear();
  if (pending_unlink_) {
    cache_->unlink_all(safe);
    gate_->reset_return_stack(Privilege::Supervisor);
    gate_->reset_return_stack(Privilege::User);
    pending_unlink_ = false;
  }
}

// ---- data ----

Coherence::Miss Coherence::fill_soft(GuestVirtual address, bool is_write, Privilege privilege) {
  const GuestVirtualPage linear = GuestVirtualPage::of(address);
  // The entry is there and yet it missed: the access crosses into the next page.
  if (soft_tlbs_.holds(linear, is_write, privilege) || is_watched(linear)) return Miss::Interpret;
  const WalkResult result =
      walk(mode_, physical_, address, is_write ? AccessKind::Write : AccessKind::Read, privilege);
  if (result.fault) return Miss::Interpret;
  const Translation& found = result.translation;
  const GuestPhysicalPage page = GuestPhysicalPage::of(physical_.masked(found.physical));
  if (!physical_.is_ram(page)) return Miss::Interpret;
  const bool may_write = found.writable && found.dirty && !traces_.is_traced(page);
  if (is_write && !may_write) return Miss::Interpret;
  soft_tlbs_.fill({.page = linear,
                   .host_page = reinterpret_cast<uint64_t>(physical_.ram().at(page.address())),
                   .may_write = may_write,
                   .is_global = found.global,
                   .is_large = found.levels == 0 || found.page_bytes != kPageSize},
                  privilege);
  counters().tlb_fills++;
  return Miss::Filled;
}

void Coherence::clip_to_ram(ShadowRun* run) const {
  // Keep the part around nothing but RAM: cut at the first page that is not, from the run's start.
  for (uint32_t i = 0; i < run->pages; ++i) {
    if (!physical_.is_ram(run->physical_page + i)) {
      run->pages = i;
      return;
    }
  }
}

// A large page (or unpaged memory) is mapped in one call, from its start to the first page that is
// not RAM; if that leaves the address out, the one page alone.
ShadowRun Coherence::run_for(GuestVirtual address, const Translation& translation) const {
  ShadowRun run;
  run.virtual_page = GuestVirtualPage::of(address);
  run.physical_page = GuestPhysicalPage::of(physical_.masked(translation.physical));
  run.may_write = translation.writable && translation.dirty;
  run.is_global = translation.global;
  const uint32_t bytes = translation.levels == 0 ? kUnpagedRun : translation.page_bytes;
  run.is_large = bytes >= kSmallestLargePage;
  if (!run.is_large || !physical_.a20()) return run;
  const uint32_t back = (address.value() & (bytes - 1)) >> 12;
  ShadowRun whole = run;
  whole.virtual_page = GuestVirtualPage(run.virtual_page.number() - back);
  whole.physical_page = GuestPhysicalPage(run.physical_page.number() - back);
  whole.pages = bytes / kPageSize;
  clip_to_ram(&whole);
  return whole.pages > back ? whole : run;
}

namespace {

// A large page with many traced ones in it may take more of the host's mappings than there are.
bool fill_all_or_one(ShadowSpace& space, ShadowRun run, GuestVirtualPage page) {
  if (space.fill(run)) return true;
  if (run.pages == 1) return false;
  run.physical_page = run.physical_page + (page.number() - run.virtual_page.number());
  run.virtual_page = page;
  run.pages = 1;
  return space.fill(run);
}

}  // namespace

Coherence::Miss Coherence::fill_window(GuestVirtual address, bool is_write, Privilege privilege) {
  ShadowSpace* window = window_of(privilege);
  if (window == nullptr || is_watched(GuestVirtualPage::of(address))) return Miss::Interpret;
  const WalkResult result =
      walk(mode_, physical_, address, is_write ? AccessKind::Write : AccessKind::Read, privilege);
  if (result.fault) return Miss::Interpret;
  const Translation& found = result.translation;
  // The supervisor's window serves all address spaces, so it holds supervisor pages only.
  if (privilege == Privilege::Supervisor && found.levels != 0 && found.user) {
    return Miss::Interpret;
  }
  const GuestPhysicalPage page = GuestPhysicalPage::of(physical_.masked(found.physical));
  if (!physical_.is_ram(page)) return Miss::Interpret;
  if (is_write && traces_.is_traced(page)) return Miss::Interpret;
  const ShadowMapping* present = window->find(GuestVirtualPage::of(address));
  ShadowRun run = run_for(address, found);
  if (present != nullptr && present->is_large && run.pages > 1) {
    // One page of a large mapping needs more rights (its trace went, or D was set): the rest stays.
    run.virtual_page = GuestVirtualPage::of(address);
    run.physical_page = page;
    run.pages = 1;
  }
  keep_watched_out(GuestVirtualPage::of(address), &run);
  counters().faults_hidden++;
  view_of(privilege).verified_tables[address.value() >> 22] = 0;
  if (privilege == Privilege::User) note_growth(run.pages);
  return fill_all_or_one(*window, run, GuestVirtualPage::of(address)) ? Miss::Filled
                                                                      : Miss::Interpret;
}

std::optional<uint64_t> Coherence::supervisor_host_address(GuestVirtual address) {
  const bool present = window_->find(GuestVirtualPage::of(address)) != nullptr;
  if (!present && fill_window(address, false, Privilege::Supervisor) != Miss::Filled) {
    return std::nullopt;
  }
  return window_->base().value() + address.value();
}

bool Coherence::note_site_fault(GuestPhysical instruction, Privilege privilege) {
  const uint32_t limit =
      privilege == Privilege::Supervisor ? kSupervisorFaultsBeforeSoft : kUserFaultsBeforeSoft;
  if (site_faults_.size() >= kRememberedSites) site_faults_.clear();
  if (soft_sites_.size() >= kRememberedSites) soft_sites_.clear();
  if (++site_faults_[instruction] < limit) return false;
  site_faults_.erase(instruction);
  if (!soft_sites_.insert(instruction).second) return false;
  counters().sites_softened++;
  return true;
}

void Coherence::verify_invariants() const {
  window_->verify_invariants();
  for (const auto& [cr3, view] : users_) {
    if (view.window != nullptr) view.window->verify_invariants();
    if (view.direct != nullptr) view.direct->shadow().verify_invariants();
  }
  cache_->verify_invariants();
  cache_->for_each([this](const Fragment& fragment) {
    CHECK(traces_.is_traced(GuestPhysicalPage::of(fragment.key.physical)));
  });
}

}  // namespace ringshift

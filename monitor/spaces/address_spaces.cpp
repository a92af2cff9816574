#include "monitor/spaces/address_spaces.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/exact_jumps.h"

namespace ringshift {
namespace {

// Soft exits, of some 200 ns each, after which a window (8 us a page) begins to pay.
constexpr uint64_t kWorkBeforeWindow = 2500;
// Ticks of 4 ms, most often, after which code of its own (1,000 cycles an instruction) begins to
// pay: linked across pages, it runs half as fast again.
constexpr uint32_t kTicksBeforeOwnCode = 8;
// CR0.PG is changed once or twice by most guests; who does it more often has two views for it.
constexpr uint32_t kSwitchesBeforeTwoViews = 4;
// TranslationKey::view of the supervisor's code while paging is off, then. No user view gets there.
constexpr uint32_t kUnpagedView = 0xffffffff;

}  // namespace

std::unique_ptr<AddressSpaces> AddressSpaces::create(SpaceResources& resources, HotSites& sites,
                                                     std::string* error) {
  auto spaces = std::unique_ptr<AddressSpaces>(new AddressSpaces(resources, sites));
  if (!spaces->set_up_supervisor(spaces->supervisor_, error)) return nullptr;
  if (!spaces->users_.set_up(resources.refusals, error)) return nullptr;
  return spaces;
}

bool AddressSpaces::set_up_supervisor(CodeView& view, std::string* error) const {
  view.window =
      ShadowSpace::create(resources_.physical.ram(), resources_.watch.reverse(),
                          resources_.watch.traces(), resources_.budgets.supervisor, error);
  if (view.window == nullptr) return false;
  view.jumps = JumpTable::create(error);
  return view.jumps != nullptr;
}

void AddressSpaces::attach(Gate& gate, TranslationCache& cache, const CodeArena& arena) {
  gate_ = &gate;
  cache_ = &cache;
  arena_ = &arena;
  resources_.tables.set_mode(resources_.linear.paging_mode());
  resources_.soft_tlbs.attach(&gate.frame());
  resources_.watch.attach(this);
}

// ---- the guest's changes to its translations ----

// The first step of every flush of the guest's TLB, whatever else it drops.
void AddressSpaces::begin_flush(Flush flush) {
  ++flush_epoch_;
  note_translations_changed();
  users_.leave();
  user_returns_stale_ = true;
  if (flush == Flush::Local) return resources_.soft_tlbs.flush_all_but_global();
  resources_.soft_tlbs.flush();
}

void AddressSpaces::on_cr3_loaded() {
  counters().cr3_loads++;
  const bool keeps = resources_.keeps_entries();
  if (keeps) kept_.leave(resources_.tables.mode().cr3, resources_.soft_tlbs);
  resources_.tables.set_mode(resources_.linear.paging_mode());
  const Flush flush = resources_.tables.mode().global ? Flush::Local : Flush::All;
  begin_flush(flush);
  supervisor_flushed(flush);
  if (keeps) kept_.come_back(resources_.tables.mode().cr3, resources_);
}

void AddressSpaces::on_page_invalidated(GuestVirtual address) {
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  note_translations_changed();
  invalidate_view(supervisor_, page, Privilege::Supervisor);
  if (CodeView* user = users_.current()) invalidate_view(*user, page, Privilege::User);
  resources_.soft_tlbs.flush_page(page);
  recheck_code_after_invlpg(supervisor_, page, Privilege::Supervisor);
  if (CodeView* user = users_.current()) recheck_code_after_invlpg(*user, page, Privilege::User);
}

void AddressSpaces::on_paging_mode_changed() {
  kept_.forget_all();
  PagingMode before = resources_.tables.mode();
  resources_.tables.set_mode(resources_.linear.paging_mode());
  const PagingMode& now = resources_.tables.mode();
  // CR0.WP is asked when the supervisor writes: the contents of windows do not depend on it.
  const bool protection_changed =
      std::exchange(before.write_protect, now.write_protect) != now.write_protect;
  if (protection_changed && before == now) return resources_.soft_tlbs.flush();
  begin_flush(Flush::All);
  if (before.paging != now.paging && exchange_supervisor(now.paging)) return;
  // Toggling CR4.PGE is how kernels flush global translations: most of what we hold is still true.
  // The effect of CR4.PSE on a directory entry is part of its region's hash.
  PagingMode same_but_flags = before;
  same_but_flags.global = now.global;
  same_but_flags.pse = now.pse;
  if (now.paging && same_but_flags == now) return supervisor_flushed(Flush::All);
  forget_all_mappings();
}

// The view for the state that paging is in now takes the other's place. False: there is none.
bool AddressSpaces::exchange_supervisor(bool paging) {
  const bool is_unpaged = supervisor_.id == kUnpagedView;
  if (paging ? !is_unpaged : ++paging_switches_ < kSwitchesBeforeTwoViews) return false;
  std::string error;
  if (parked_.jumps == nullptr &&
      (resources_.refusals.refuses() || !set_up_supervisor(parked_, &error))) {
    parked_ = CodeView();
    supervisor_.id = 0;
    return false;
  }
  std::swap(supervisor_, parked_);
  supervisor_.id = paging ? 0 : kUnpagedView;
  supervisor_unverified_ = false;
  gate_->reset_return_stack(Privilege::Supervisor);
  if (paging) supervisor_flushed(Flush::All);
  return true;
}

void AddressSpaces::forget_parked() {
  parked_ = CodeView();
  kept_.forget_all();
}

void AddressSpaces::on_memory_map_changed() {
  begin_flush(Flush::All);
  forget_tables();
  forget_all_mappings();
}

void AddressSpaces::forget_tables() {
  kept_.forget_all();
  resources_.soft_tlbs.deliver_marks();
  resources_.watch.tables().forget_all();
}

void AddressSpaces::forget_all_mappings() {
  forget_parked();
  supervisor_.window->drop_all();
  users_.drop_all();
  supervisor_.pages.clear();
  supervisor_.local_regions.reset();
  supervisor_.jumps->clear();
  pending_unlink_ = true;  // links were made for the old mapping of linear to physical pages
  has_pending_work_ = true;
}

// ---- views ----

CodeView& AddressSpaces::enter(Privilege privilege) {
  if (privilege == Privilege::Supervisor) return supervisor_;
  CodeView& view = users_.enter(resources_.state.cr3);
  if (view.verified_in != flush_epoch_) verify_user_view(view);
  return view;
}

// The view is soft again. Code made for it alone is found no more, and goes with the next drop_all.
void AddressSpaces::give_up_window(CodeView& view) {
  if (view.window == nullptr) return;
  view.window.reset();
  view.id = 0;
  view.ticks = 0;
  view.work = 0;
  view.jumps->forget_exact();
  view.jumps->clear();
  user_returns_stale_ = true;
}

// The guest has given this CR3 to another process: nothing learnt about the last one holds.
void AddressSpaces::start_afresh(CodeView& view) {
  give_up_window(view);
  view.direct.reset();
  view.policy = UserPolicy();
  view.sensitive_pages.clear();
}

// The least recently used window goes when there are too many; its view is soft again.
void AddressSpaces::make_room_for_window() {
  CodeView* oldest = users_.least_recent_if_full(
      kUserWindows, [](const CodeView& view) { return view.window != nullptr; });
  if (oldest != nullptr) give_up_window(*oldest);
}

bool AddressSpaces::note_user_work(uint64_t amount) {
  CodeView& view = enter(Privilege::User);
  if (view.window != nullptr) return false;
  view.work += amount;
  if (view.work < kWorkBeforeWindow) return false;
  view.work = 0;
  make_room_for_window();
  std::string error;
  if (resources_.refusals.refuses()) return false;
  view.window = ShadowSpace::create(resources_.physical.ram(), resources_.watch.reverse(),
                                    resources_.watch.traces(), resources_.budgets.user, &error);
  if (view.window == nullptr) return false;  // the host refused: soft accesses go on serving
  counters().user_windows++;
  view.jumps->clear();
  user_returns_stale_ = true;
  return true;
}

void AddressSpaces::note_user_tick() {
  CodeView& view = enter(Privilege::User);
  if (view.window == nullptr || view.id != 0 || ++view.ticks < kTicksBeforeOwnCode) return;
  view.ticks = 0;
  if (resources_.refusals.refuses() || !view.jumps->add_exact()) return;
  view.id = ++views_with_own_code_;
  counters().user_views_with_own_code++;
  view.jumps->clear();
  user_returns_stale_ = true;
}

void AddressSpaces::select(Privilege privilege, const CodeMode& mode) {
  CodeView& view = enter(privilege);
  Slots& slots = gate_->frame().slots;
  slots.jump_table = view.jumps->address_for(mode);
  if (view.jumps->has_moved()) gate_->forget_far_targets();
  // Without a window the view's fragments are soft and never use the base.
  slots.window_base = 0;
  if (view.window != nullptr) {
    view.window->settle();
    slots.window_base = view.window->base().value();
  }
  slots.window_negated = 0 - slots.window_base;
  if (privilege == Privilege::User && user_returns_stale_) {
    gate_->reset_return_stack(Privilege::User);
    user_returns_stale_ = false;
  }
  // A return point compares EIPs, which mean something else in another mode.
  CodeMode& returns = return_modes_[static_cast<size_t>(privilege)];
  if (returns != mode) {
    returns = mode;
    gate_->empty_return_stack(privilege);
  }
  gate_->select_return_stack(privilege);
}

bool AddressSpaces::describe(Privilege privilege, RingView* ring) const {
  const bool is_user = privilege == Privilege::User;
  const CodeView* view = is_user ? users_.current() : &supervisor_;
  if (view == nullptr || (is_user ? view->verified_in != flush_epoch_ || user_returns_stale_
                                  : supervisor_unverified_)) {
    return false;
  }
  if (has_pending_work() || !return_modes_[static_cast<size_t>(privilege)].is_flat()) return false;
  if (view->window != nullptr && !view->window->is_settled()) return false;
  ring->window_base = view->window != nullptr ? view->window->base().value() : 0;
  ring->window_negated = 0 - ring->window_base;
  ring->jump_table = view->jumps->address();
  gate_->describe_returns(privilege, ring);
  return true;
}

// ---- code ----

void AddressSpaces::set_jump(const Fragment& fragment) {
  const auto offset = static_cast<uint32_t>(fragment.code.address - arena_->base());
  const TranslationKey& key = fragment.key;
  JumpTable& jumps = *enter(key.privilege).jumps;
  jumps.set(key.eip, offset, key.mode);
  if (jumps_exactly(key)) jumps.set_exact(key.eip, offset + fragment.body_offset);
}

void AddressSpaces::on_fragment_dropped(const Fragment& fragment) {
  const auto offset = static_cast<uint32_t>(fragment.code.address - arena_->base());
  const uint32_t body = offset + fragment.body_offset;
  const Eip eip = fragment.key.eip;
  supervisor_.jumps->clear_if(eip, offset, body);
  if (parked_.jumps != nullptr) parked_.jumps->clear_if(eip, offset, body);
  users_.for_each([eip, offset, body](CodeView& view) { view.jumps->clear_if(eip, offset, body); });
  gate_->reset_return_stack(Privilege::Supervisor);
  gate_->reset_return_stack(Privilege::User);
}

// Copies are of user code only.
void AddressSpaces::on_copies_dropped() {
  users_.for_each([](CodeView& view) { view.jumps->clear(); });
  gate_->reset_return_stack(Privilege::User);
}

void AddressSpaces::on_all_dropped() {
  sites_.forget_all();
  supervisor_.jumps->clear();
  if (parked_.jumps != nullptr) parked_.jumps->clear();
  users_.for_each([](CodeView& view) { view.jumps->clear(); });
  gate_->reset_return_stack(Privilege::Supervisor);
  gate_->reset_return_stack(Privilege::User);
}

bool AddressSpaces::has_code(GuestPhysicalPage page) const { return cache_->has_code(page); }

bool AddressSpaces::may_hold_code(GuestPhysical address, uint32_t length) const {
  return cache_->may_hold_code(address, length);
}

void AddressSpaces::add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const {
  cache_->add_code_bytes(page, bytes);
}

void AddressSpaces::drop_code(GuestPhysical address, uint32_t length, const SafePoint& safe) {
  cache_->drop_overlapping(address, length, safe);
}

void AddressSpaces::forget_write_paths(GuestPhysicalPage page) {
  resources_.linear.flush_physical_page(page);
  resources_.soft_tlbs.forget_writes_to(resources_.ram_start() + page.address().value());
}

void AddressSpaces::apply(const SafePoint& safe) {
  resources_.watch.apply(safe);
  if (!has_pending_work_) return;
  has_pending_work_ = false;
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

void AddressSpaces::flip_backing(uint32_t number) { resources_.physical.flip_some_backing(number); }

}  // namespace ringshift

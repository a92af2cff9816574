#include "monitor/spaces/user/data_paths.h"

#include "shadowmmu/base/counters.h"

namespace ringshift {

ShadowSpace* DataPaths::window_of(Privilege privilege) const {
  if (privilege == Privilege::Supervisor) return spaces_.supervisor().window.get();
  const CodeView* view = spaces_.user_view();
  return view != nullptr ? view->window.get() : nullptr;
}

bool DataPaths::has_window(Privilege privilege) const { return window_of(privilege) != nullptr; }

std::optional<GuestVirtual> DataPaths::window_address(uint64_t host_address,
                                                      Privilege privilege) const {
  const ShadowSpace* window = window_of(privilege);
  if (window == nullptr) return std::nullopt;
  return window->linear_of(host_address);
}

void DataPaths::settle(Privilege privilege) {
  if (ShadowSpace* window = window_of(privilege)) window->settle();
}

Miss DataPaths::fill_soft(GuestVirtual address, bool is_write, Privilege privilege) {
  const GuestVirtualPage linear = GuestVirtualPage::of(address);
  SoftTlbs& tlbs = resources_.soft_tlbs;
  // The page is there and yet the access missed: it crosses into the next page, or is to the
  // watched part.
  if (tlbs.holds(linear, is_write, privilege) || tlbs.holds_around(linear, is_write, privilege)) {
    return Miss::Interpret;
  }
  const GuestAccess access{address, data_access(is_write), privilege};
  std::optional<GuestPage> page = resources_.pages.look(access);
  if (!page) return Miss::Interpret;
  // An entry that a CR3 load drops is worth having back.
  const bool is_kept = !page->translation.global && resources_.keeps_entries();
  if (is_kept) spaces_.note_soft_fill(page->translation);
  if (is_write) page->translation.dirty = true;  // by mark()
  const bool tables_allow = page->may_write();
  if (is_write && tables_allow) resources_.physical.will_write(page->physical);
  const bool may_write = tables_allow && resources_.physical.may_write_unseen(page->physical);
  // A store to a page table leaves a mark, for the next flush to find.
  const bool may_mark = is_write && tables_allow && privilege == Privilege::Supervisor &&
                        resources_.watch.is_table_only(page->physical) &&
                        !resources_.physical.ram().is_shared(page->physical) &&
                        !resources_.watched.contains(linear);
  // A store to a page with code goes beside the code.
  const bool is_own = !resources_.physical.ram().is_shared(page->physical);
  const CodeBytes* code = is_write && tables_allow && is_own && !resources_.watched.contains(linear)
                              ? resources_.watch.code_bytes(page->physical)
                              : nullptr;
  if (is_write && !may_write && !may_mark && code == nullptr) return Miss::Interpret;
  resources_.pages.mark(access);
  const SoftTlbs::Fill fill{.page = linear,
                            .host_page = reinterpret_cast<uint64_t>(
                                resources_.physical.ram().at(page->physical.address())),
                            .may_write = may_write,
                            .is_global = page->translation.global,
                            .is_large = page->is_in_large_piece(),
                            .may_mark = may_mark,
                            .stamp = is_kept ? resources_.stamp(linear, page->translation) : 0,
                            .code = code};
  if (const WatchedBytes* watched = resources_.watched.find(linear)) {
    tlbs.fill_around(fill, watched->first, watched->last, privilege);
  } else {
    tlbs.fill(fill, privilege);
  }
  counters().tlb_fills++;
  return Miss::Filled;
}

bool DataPaths::would_serve_plainly(GuestVirtual address, bool is_write,
                                    Privilege privilege) const {
  const ShadowSpace* window = window_of(privilege);
  const GuestVirtualPage page = GuestVirtualPage::of(address);
  if (window == nullptr || resources_.watched.contains(page)) return false;
  if (const ShadowMapping* held = window->find(page)) return !is_write || held->is_writable;
  if (!resources_.soft_tlbs.has_large(page)) return false;
  const std::optional<GuestPage> found =
      resources_.pages.look({address, data_access(is_write), privilege});
  const bool is_users = found && found->translation.levels != 0 && found->translation.user;
  if (found && is_write && resources_.watch.watches(found->physical)) return false;
  return found && found->is_in_large_piece() && (privilege == Privilege::User || !is_users);
}

Miss DataPaths::fill_window(GuestVirtual address, bool is_write, Privilege privilege) {
  CodeView& view = spaces_.enter(privilege);
  const GuestVirtualPage at = GuestVirtualPage::of(address);
  if (view.window == nullptr || resources_.watched.contains(at)) return Miss::Interpret;
  const GuestAccess access{address, data_access(is_write), privilege};
  if (is_write) let_table_go(access);
  std::optional<MissingPages> missing = resources_.pages.miss(access, *view.window);
  if (!missing) return Miss::Interpret;
  const ShadowMapping* held = view.window->find(at);
  if (missing->was_copied && held != nullptr && held->is_writable) return Miss::Filled;
  // The supervisor's window serves all address spaces, so it holds supervisor pages only.
  const Translation& found = missing->page.translation;
  const bool is_user_page = found.levels != 0 && found.user;
  if (privilege == Privilege::Supervisor && is_user_page) return Miss::Interpret;
  if (!missing->page.is_in_large_piece() &&
      resources_.churn.refuses(at, resources_.churn_space(privilege))) {
    counters().shadow_churn_refusals++;
    return Miss::Interpret;
  }
  resources_.watched.keep_out_of(&missing->run, at);
  resources_.pages.mark(access);
  counters().faults_hidden++;
  resources_.note_added(view, Region::of(address));
  if (privilege == Privilege::User) spaces_.users().note_growth(missing->run.pages);
  return fill_all_or_one(*view.window, missing->run, at) ? Miss::Filled : Miss::Interpret;
}

// A plain store is about to fail because the page is traced as a page table, which it may be no
// more.
void DataPaths::let_table_go(const GuestAccess& access) {
  TableTraces& tables = resources_.watch.tables();
  if (!tables.is_any()) return;
  const std::optional<GuestPage> page = resources_.pages.look(access);
  if (!page || !resources_.watch.is_table_only(page->physical)) return;
  resources_.soft_tlbs.deliver_marks();
  (void)tables.gives_way(page->physical);
}

std::optional<uint64_t> DataPaths::supervisor_host_address(GuestVirtual address) {
  const ShadowSpace& window = *spaces_.supervisor().window;
  const ShadowMapping* held = window.find(GuestVirtualPage::of(address));
  if (held != nullptr) resources_.physical.will_read(held->physical_page);
  const bool present = window.find(GuestVirtualPage::of(address)) != nullptr;
  if (!present && fill_window(address, false, Privilege::Supervisor) != Miss::Filled) {
    return std::nullopt;
  }
  return window.base().value() + address.value();
}

std::optional<uint64_t> DataPaths::ram_host_address(GuestVirtual address) {
  if (resources_.watched.contains(GuestVirtualPage::of(address))) return std::nullopt;
  const GuestAccess access{address, data_access(false), Privilege::Supervisor};
  const std::optional<GuestPage> page = resources_.pages.look(access);
  if (!page) return std::nullopt;
  resources_.pages.mark(access);
  const auto host_page =
      reinterpret_cast<uint64_t>(resources_.physical.ram().at(page->physical.address()));
  return host_page + address.offset_in_page();
}

uint64_t DataPaths::supervisor_base() const { return spaces_.supervisor().window->base().value(); }

void DataPaths::drop_watched() {
  spaces_.note_translations_changed();
  spaces_.forget_parked();
  resources_.watched.for_each([this](GuestVirtualPage page) {
    spaces_.supervisor().window->drop_region(page);
    spaces_.users().for_each([page](CodeView& view) {
      if (view.window != nullptr) view.window->drop_region(page);
    });
  });
  resources_.soft_tlbs.flush();
}

}  // namespace ringshift

// WatchedPages: linear pages whose accesses a debugger wants to see, and the watched part of each.
// No window and no soft TLB holds them, so each access of translated code to the watched part is
// interpreted; accesses to the rest of such a page are served one page at a time
// (SoftTlbs::fill_around). Does not own: the list, which is the debugger's. See docs/debugging.md.
#pragma once

#include <unordered_map>

#include "monitor/spaces/guest_pages.h"
#include "shadowmmu/base/address.h"

namespace ringshift {

// The range in one page from the first watched byte to the last.
struct WatchedBytes {
  GuestVirtual first;
  GuestVirtual last;
  bool operator==(const WatchedBytes&) const = default;
};
using LinearPages = std::unordered_map<GuestVirtualPage, WatchedBytes>;

class WatchedPages {
 public:
  // Null: none. The caller that adds pages to them calls DataPaths::drop_watched.
  void set(const LinearPages* pages) { pages_ = pages; }
  // Null: nothing is watched there.
  [[nodiscard]] const WatchedBytes* find(GuestVirtualPage page) const {
    if (pages_ == nullptr || pages_->empty()) return nullptr;
    const auto found = pages_->find(page);
    return found == pages_->end() ? nullptr : &found->second;
  }
  [[nodiscard]] bool contains(GuestVirtualPage page) const { return find(page) != nullptr; }
  // Leaves of the run only `page` if a watched page is in it.
  void keep_out_of(ShadowRun* run, GuestVirtualPage page) const {
    if (pages_ == nullptr || pages_->empty() || run->pages == 1) return;
    for (const auto& [watched, bytes] : *pages_) {
      if (watched.number() - run->virtual_page.number() >= run->pages) continue;
      return narrow_to(page, run);
    }
  }
  template <typename Action>
  void for_each(Action action) const {
    if (pages_ == nullptr) return;
    for (const auto& [page, bytes] : *pages_) action(page);
  }

 private:
  const LinearPages* pages_ = nullptr;
};

}  // namespace ringshift

// WatchedPages: linear pages whose accesses a debugger wants to see. No window and no soft TLB
// holds them, so that translated code has each access to them interpreted. Does not own: the list,
// which is the debugger's. See docs/debugging.md.
#pragma once

#include <unordered_set>

#include "monitor/spaces/guest_pages.h"
#include "shadowmmu/base/address.h"

namespace ringshift {

using LinearPages = std::unordered_set<GuestVirtualPage>;

class WatchedPages {
 public:
  // Null: none. Whoever adds to them calls DataPaths::drop_watched.
  void set(const LinearPages* pages) { pages_ = pages; }
  [[nodiscard]] bool contains(GuestVirtualPage page) const {
    return pages_ != nullptr && !pages_->empty() && pages_->contains(page);
  }
  // Leaves of the run only `page` if a watched page is in it.
  void keep_out_of(ShadowRun* run, GuestVirtualPage page) const {
    if (pages_ == nullptr || pages_->empty() || run->pages == 1) return;
    for (const GuestVirtualPage watched : *pages_) {
      if (watched.number() - run->virtual_page.number() >= run->pages) continue;
      return narrow_to(page, run);
    }
  }
  template <typename Action>
  void for_each(Action action) const {
    if (pages_ == nullptr) return;
    for (const GuestVirtualPage page : *pages_) action(page);
  }

 private:
  const LinearPages* pages_ = nullptr;
};

}  // namespace ringshift

// The part of Coherence that keeps pages which a debugger watches away from generated code.
#include "monitor/spaces/coherence.h"

namespace ringshift {

void Coherence::drop_watched() {
  if (watched_ == nullptr) return;
  for (const GuestVirtualPage page : *watched_) {
    window_->drop_region(page);
    for (auto& [cr3, view] : users_) {
      if (view.window != nullptr) view.window->drop_region(page);
    }
  }
  soft_tlbs_.flush();
}

// Of a large page around a watched one only the page asked for is mapped, one by one.
void Coherence::keep_watched_out(GuestVirtualPage page, ShadowRun* run) const {
  if (watched_ == nullptr || watched_->empty() || run->pages == 1) return;
  for (const GuestVirtualPage watched : *watched_) {
    if (watched.number() - run->virtual_page.number() >= run->pages) continue;
    run->physical_page =
        GuestPhysicalPage(run->physical_page.number() + page.number() - run->virtual_page.number());
    run->virtual_page = page;
    run->pages = 1;
    return;
  }
}

}  // namespace ringshift

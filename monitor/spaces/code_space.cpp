#include "monitor/spaces/code_space.h"

namespace ringshift {
namespace {

// A hostile guest could make a view's list of pages grow with its linear space.
constexpr size_t kCodePagesInView = 32 * 1024;

}  // namespace

// Null: the page cannot be fetched from with this privilege, or is not RAM.
const CodePage* CodeSpace::find_page(GuestVirtualPage page, Privilege privilege) {
  CodeView& known = spaces_.enter(privilege);
  if (const auto it = known.pages.find(page); it != known.pages.end()) return &it->second;
  const std::optional<GuestPage> found =
      resources_.pages.touch({page.address(), AccessKind::Fetch, privilege});
  if (!found) return nullptr;
  if (known.pages.size() >= kCodePagesInView) spaces_.forget_all_mappings();
  CodeView& view = spaces_.enter(privilege);  // forgetting may have replaced it
  const auto it =
      view.pages.emplace(page, CodePage{found->physical, found->translation.global}).first;
  const uint32_t region = Region::of(page).index();
  if (!found->translation.global) view.local_regions.set(region);
  view.note_code_in(Region::of(page));
  resources_.note_added(view, Region::of(page));
  if (found->is_large()) view.large_regions.set(region);
  if (privilege == Privilege::User) spaces_.users().note_growth(1);
  return &it->second;
}

std::span<const uint8_t> CodeSpace::code_at(GuestVirtual address, Privilege privilege,
                                            GuestPhysical* physical) {
  const CodePage* page = find_page(GuestVirtualPage::of(address), privilege);
  if (page == nullptr) return {};
  *physical = page->physical.address() + address.offset_in_page();
  return resources_.physical.ram().span(*physical, kPageSize - address.offset_in_page());
}

std::optional<TranslationKey> CodeSpace::key_for(Eip eip, Privilege privilege,
                                                 const CodeMode& mode) {
  GuestPhysical physical;
  if (!mode.holds(eip) || code_at(mode.linear(eip), privilege, &physical).empty()) {
    return std::nullopt;
  }
  const CodeView& view = spaces_.enter(privilege);
  TranslationKey key;
  key.eip = eip;
  key.physical = physical;
  key.privilege = privilege;
  key.style = view.window != nullptr ? AccessStyle::Window : AccessStyle::Soft;
  key.view = view.id;
  key.mode = mode;
  return key;
}

}  // namespace ringshift

#include "monitor/spaces/guest_pages.h"

namespace ringshift {
namespace {

constexpr uint32_t kUnpagedRun = 4U << 20;

}  // namespace

std::optional<GuestPage> GuestPages::in_ram(const WalkResult& result) const {
  if (result.fault) return std::nullopt;
  const GuestPhysicalPage at = GuestPhysicalPage::of(result.translation.physical);
  if (!physical_.is_ram(at)) return std::nullopt;
  physical_.will_read(at);
  return GuestPage{result.translation, at};
}

std::optional<GuestPage> GuestPages::touch(const GuestAccess& access) const {
  return in_ram(tables_.walk(access.address, access.kind, access.privilege));
}

std::optional<GuestPage> GuestPages::look(const GuestAccess& access) const {
  return in_ram(tables_.probe(access.address, access.kind, access.privilege));
}

std::optional<MissingPages> GuestPages::miss(const GuestAccess& access,
                                             const ShadowSpace& space) const {
  const std::optional<GuestPage> page = touch(access);
  if (!page) return std::nullopt;
  const bool is_write = access.kind == AccessKind::Write;
  if (is_write && (traces_.is_traced(page->physical) || !page->may_write_always())) {
    return std::nullopt;
  }
  const bool was_copied = is_write && physical_.will_write(page->physical);
  MissingPages missing{*page, run_around(access.address, *page), was_copied};
  const GuestVirtualPage at = GuestVirtualPage::of(access.address);
  // Its trace went, or D was set since: the rest of the large page stays as it is.
  if (missing.run.pages > 1 && space.find(at) != nullptr) narrow_to(at, &missing.run);
  return missing;
}

uint32_t GuestPages::ram_pages(GuestPhysicalPage first, uint32_t most) const {
  uint32_t pages = 0;
  while (pages < most && physical_.is_ram(first + pages)) ++pages;
  return pages;
}

ShadowRun GuestPages::run_of(GuestVirtual address, const GuestPage& page) {
  ShadowRun run;
  run.virtual_page = GuestVirtualPage::of(address);
  run.physical_page = page.physical;
  run.may_write = page.may_write_always();
  run.is_global = page.translation.global;
  run.is_large = page.is_in_large_piece();
  return run;
}

ShadowRun GuestPages::run_around(GuestVirtual address, const GuestPage& page) const {
  const ShadowRun one = run_of(address, page);
  if (!one.is_large || !physical_.a20()) return one;
  const uint32_t bytes = page.translation.levels == 0 ? kUnpagedRun : page.translation.page_bytes;
  const uint32_t back = (address.value() & (bytes - 1)) / kPageSize;
  ShadowRun whole = one;
  whole.virtual_page = GuestVirtualPage(one.virtual_page.number() - back);
  whole.physical_page = GuestPhysicalPage(one.physical_page.number() - back);
  whole.pages = ram_pages(whole.physical_page, bytes / kPageSize);
  return whole.pages > back ? whole : one;
}

void narrow_to(GuestVirtualPage page, ShadowRun* run) {
  run->physical_page = run->physical_page + (page.number() - run->virtual_page.number());
  run->virtual_page = page;
  run->pages = 1;
}

bool fill_all_or_one(ShadowSpace& space, ShadowRun run, GuestVirtualPage page) {
  if (space.fill(run)) return true;
  if (run.pages == 1) return false;
  narrow_to(page, &run);
  return space.fill(run);
}

}  // namespace ringshift

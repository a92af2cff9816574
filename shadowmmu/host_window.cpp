#include "shadowmmu/host_window.h"

#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

constexpr uint64_t kWindowBytes = uint64_t{1} << 32;
// Below: a register plus a negative displacement of at most 16 MiB (translator/emit_memory.cpp)
// or a bit offset of 256 MiB. Above: a register plus any positive displacement or such an offset.
constexpr uint64_t kGuardBelow = uint64_t{4} << 30;
constexpr uint64_t kGuardAbove = uint64_t{4} << 30;
constexpr uint64_t kReservation = kGuardBelow + kWindowBytes + kGuardAbove;
// Runs up to here are about to be used; of longer ones (large pages) perhaps only a part.
constexpr uint32_t kPopulatedPages = 16;

}  // namespace

std::unique_ptr<HostWindow> HostWindow::create(const GuestMemory& ram, HostRefusals* refusals,
                                               std::string* error) {
  auto window = std::unique_ptr<HostWindow>(new HostWindow(ram, refusals));
  const HostResult reserved = reserve(kReservation, kPageSize, &window->reservation_);
  if (!reserved.ok()) {
    *error = "cannot reserve a 4 GiB window: " + reserved.text();
    return nullptr;
  }
  window->base_ = window->reservation_ + kGuardBelow;
  return window;
}

HostWindow::~HostWindow() {
  if (reservation_.value() != 0) (void)release(reservation_, kReservation);
}

bool HostWindow::map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                     HostAccess access) {
  if (is_refused()) return false;
  const Population population = pages <= kPopulatedPages ? Population::Now : Population::OnTouch;
  const MachinePages* machine = ram_.machine_pages();
  while (pages != 0) {
    const uint32_t run = machine == nullptr ? pages : machine->run(from, pages);
    const bool is_shared = ram_.is_shared(from);
    if (ram_.is_absent(from)) {
      if (!unmap_to_reserved(host_of(at), uint64_t{run} * kPageSize).ok()) return false;
    } else if (!map_fixed(host_of(at), ram_.descriptor_of(from), ram_.offset_of(from),
                          uint64_t{run} * kPageSize, is_shared ? HostAccess::Read : access,
                          population)
                    .ok()) {
      return false;
    }
    at = at + run;
    from = from + run;
    pages -= run;
  }
  return true;
}

bool HostWindow::unmap(GuestVirtualPage at, uint32_t pages) {
  return !is_refused() && unmap_to_reserved(host_of(at), uint64_t{pages} * kPageSize).ok();
}

bool HostWindow::restrict_to(GuestVirtualPage at, HostAccess access) {
  return !is_refused() && protect(host_of(at), kPageSize, access).ok();
}

// Any mmap is refused while the process has more mappings than vm.max_map_count, even one that
// replaces many by one. Taking away the rights of whole mappings splits none and is not.
bool HostWindow::clear() {
  if (unmap_to_reserved(base_, kWindowBytes).ok()) return true;
  const HostResult result = protect(base_, kWindowBytes, HostAccess::None);
  CHECK(result.ok());
  return false;
}

}  // namespace ringshift

#include "shadowmmu/machine_pages.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

MachinePages::MachinePages(RamBase base, uint64_t ram_bytes)
    : base_(std::move(base)),
      pages_(static_cast<uint32_t>(ram_bytes / kPageSize)),
      backing_(base_.present.size(), Backing::Own) {
  const uint32_t grain = base_.grain_pages;
  CHECK(grain != 0 && (grain & (grain - 1)) == 0 && base_.offset % kPageSize == 0);
  CHECK(base_.present.size() == (pages_ + grain - 1) / grain);
  for (size_t i = 0; i < backing_.size(); ++i) {
    if (base_.present[i]) backing_[i] = Backing::Base;
  }
}

MachinePages::~MachinePages() { close_descriptor(base_.descriptor); }

PageRange MachinePages::grain_around(GuestPhysicalPage page) const {
  const auto first = static_cast<uint32_t>(grain_of(page)) * base_.grain_pages;
  return {GuestPhysicalPage(first), std::min(base_.grain_pages, pages_ - first)};
}

uint32_t MachinePages::run(GuestPhysicalPage first, uint32_t most) const {
  const Backing wanted = backing(first);
  uint32_t pages = 0;
  while (pages < most) {
    const GuestPhysicalPage next = first + pages;
    if (next.number() >= pages_ || backing(next) != wanted) break;
    const PageRange grain = grain_around(next);
    pages = static_cast<uint32_t>(grain.first.number() + grain.pages - first.number());
  }
  return std::min(pages, most);
}

}  // namespace ringshift

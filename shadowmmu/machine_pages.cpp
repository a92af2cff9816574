#include "shadowmmu/machine_pages.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

MachinePages::MachinePages(RamBase base, uint64_t ram_bytes)
    : grain_pages_(base.grain_pages),
      pages_(static_cast<uint32_t>(ram_bytes / kPageSize)),
      base_of_(base.present.size(), kNoBase),
      backing_(base.present.size(), Backing::Own) {
  const uint32_t grain = grain_pages_;
  CHECK(grain != 0 && (grain & (grain - 1)) == 0);
  CHECK(base.present.size() == (pages_ + grain - 1) / grain);
  add_base(std::move(base));
  for (size_t i = 0; i < backing_.size(); ++i) {
    if (base_of_[i] != kNoBase) backing_[i] = Backing::Base;
  }
}

MachinePages::~MachinePages() {
  for (const Base& base : bases_) close_descriptor(base.descriptor);
}

void MachinePages::add_base(RamBase base) {
  CHECK(base.offset % kPageSize == 0 && base.grain_pages == grain_pages_);
  CHECK(base.present.size() == backing_.size() && has_room_for_base());
  size_t place = 0;
  while (place < bases_.size() && bases_[place].is_there) ++place;
  if (place == bases_.size()) bases_.emplace_back();
  bases_[place] = {base.descriptor, base.offset, base.seal, true};
  for (size_t i = 0; i < backing_.size(); ++i) {
    if (base.present[i] && backing_[i] != Backing::Base) base_of_[i] = static_cast<uint8_t>(place);
  }
}

bool MachinePages::has_room_for_base() const {
  const auto is_free = [](const Base& base) { return !base.is_there; };
  return bases_.size() < kMostBases || std::any_of(bases_.begin(), bases_.end(), is_free);
}

void MachinePages::drop_unused_bases() {
  std::vector<bool> used(bases_.size());
  for (size_t i = 0; i < backing_.size(); ++i) {
    if (backing_[i] == Backing::Base) used[base_of_[i]] = true;
  }
  for (uint8_t& base : base_of_) {
    if (base != kNoBase && !used[base] && bases_[base].seal != 0) base = kNoBase;
  }
  for (size_t i = 0; i < bases_.size(); ++i) {
    if (used[i] || bases_[i].seal == 0) continue;
    close_descriptor(bases_[i].descriptor);
    bases_[i] = {};
  }
}

PageRange MachinePages::grain_around(GuestPhysicalPage page) const {
  const auto first = static_cast<uint32_t>(grain_of(page)) * grain_pages_;
  return {GuestPhysicalPage(first), std::min(grain_pages_, pages_ - first)};
}

uint32_t MachinePages::run(GuestPhysicalPage first, uint32_t most) const {
  const Backing wanted = backing(first);
  uint32_t pages = 0;
  while (pages < most) {
    const GuestPhysicalPage next = first + pages;
    if (next.number() >= pages_ || backing(next) != wanted) break;
    if (wanted == Backing::Base && base_of_[grain_of(next)] != base_of_[grain_of(first)]) break;
    const PageRange grain = grain_around(next);
    pages = static_cast<uint32_t>(grain.first.number() + grain.pages - first.number());
  }
  return std::min(pages, most);
}

}  // namespace ringshift

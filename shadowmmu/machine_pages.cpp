#include "shadowmmu/machine_pages.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

MachinePages::MachinePages(RamBase base, uint64_t ram_bytes)
    : grain_pages_(base.grain_pages),
      pages_(static_cast<uint32_t>(ram_bytes / kPageSize)),
      base_of_(base.present.size(), kNoBase),
      backing_(static_cast<size_t>(ram_bytes / kPageSize), Backing::Own) {
  const uint32_t grain = grain_pages_;
  CHECK(grain != 0 && (grain & (grain - 1)) == 0);
  CHECK(base.present.size() == (pages_ + grain - 1) / grain);
  add_base(std::move(base));
  for (size_t i = 0; i < grains(); ++i) {
    if (base_of_[i] != kNoBase) set(GuestPhysicalPage(i * grain), Backing::Base);
  }
}

MachinePages::~MachinePages() {
  for (const Base& base : bases_) close_descriptor(base.descriptor);
}

void MachinePages::add_base(RamBase base) {
  CHECK(base.offset % kPageSize == 0 && base.grain_pages == grain_pages_);
  CHECK(base.present.size() == grains() && has_room_for_base());
  size_t place = 0;
  while (place < bases_.size() && bases_[place].is_there) ++place;
  if (place == bases_.size()) bases_.emplace_back();
  bases_[place] = {base.descriptor, base.offset, base.seal, true};
  ++bases_version_;
  for (size_t i = 0; i < grains(); ++i) {
    const GuestPhysicalPage first(i * grain_pages_);
    const bool is_backed = backing(first) == Backing::Base || is_mixed(first);
    if (base.present[i] && !is_backed) base_of_[i] = static_cast<uint8_t>(place);
  }
}

bool MachinePages::has_base() const {
  return std::any_of(bases_.begin(), bases_.end(),
                     [](const Base& base) { return base.is_there && base.descriptor >= 0; });
}

bool MachinePages::has_room_for_base() const {
  const auto is_free = [](const Base& base) { return !base.is_there; };
  return bases_.size() < kMostBases || std::any_of(bases_.begin(), bases_.end(), is_free);
}

void MachinePages::drop_unused_bases() {
  ++bases_version_;
  std::vector<bool> used(bases_.size());
  for (uint64_t page = 0; page < pages_; ++page) {
    if (backing_[page] == Backing::Base) used[base_of_[page / grain_pages_]] = true;
  }
  for (const auto& [page, place] : elsewhere_) used[place.base] = true;
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
  uint32_t pages = 1;
  while (pages < most && first.number() + pages < pages_ && joins(first.number() + pages)) ++pages;
  return std::min(pages, most);
}

BasePlace MachinePages::place_of(GuestPhysicalPage page) const {
  if (backing(page) == Backing::Elsewhere) return elsewhere_.at(page.number());
  return own_place_of(page);
}

bool MachinePages::joins(uint64_t page) const {
  const Backing here = backing_[page];
  if (here != backing_[page - 1] || here == Backing::Elsewhere) return false;
  return here != Backing::Base ||
         base_of_[page / grain_pages_] == base_of_[(page - 1) / grain_pages_];
}

uint32_t MachinePages::inner_ends_around(uint64_t page) const {
  uint32_t ends = 0;
  if (page % grain_pages_ != 0 && !joins(page)) ++ends;
  const uint64_t next = page + 1;
  if (next % grain_pages_ != 0 && next < pages_ && !joins(next)) ++ends;
  return ends;
}

void MachinePages::change(uint64_t page, Backing backing) {
  if (backing_[page] == backing) return;
  if (backing_[page] == Backing::Elsewhere) elsewhere_.erase(page);
  if (backing_[page] == Backing::Absent) --absent_pages_;
  if (backing == Backing::Absent) ++absent_pages_;
  inner_ends_ -= inner_ends_around(page);
  backing_[page] = backing;
  inner_ends_ += inner_ends_around(page);
}

void MachinePages::set(GuestPhysicalPage page, Backing backing) {
  const PageRange grain = grain_around(page);
  for (uint32_t i = 0; i < grain.pages; ++i) change((grain.first + i).number(), backing);
  if (backing == Backing::Own && !dirty_.empty()) dirty_[grain_of(page)] = true;
}

void MachinePages::set_alone(GuestPhysicalPage page, Backing backing) {
  change(page.number(), backing);
  if (backing == Backing::Own && !dirty_.empty()) dirty_[grain_of(page)] = true;
}

void MachinePages::set_elsewhere(GuestPhysicalPage page, const BasePlace& place) {
  change(page.number(), Backing::Elsewhere);
  elsewhere_[page.number()] = place;
}

bool MachinePages::is_mixed(GuestPhysicalPage page) const {
  const PageRange grain = grain_around(page);
  const Backing first = backing(grain.first);
  if (first == Backing::Elsewhere) return true;
  for (uint32_t i = 1; i < grain.pages; ++i) {
    if (backing(grain.first + i) != first) return true;
  }
  return false;
}

// Clean and absent grains are so as a whole.
void MachinePages::verify_invariants() const {
  uint32_t ends = 0;
  size_t elsewhere = 0, absent = 0;
  for (uint64_t number = 0; number < pages_; ++number) {
    const GuestPhysicalPage page(number);
    if (number % grain_pages_ != 0 && !joins(number)) ++ends;
    if (backing(page) == Backing::Elsewhere) {
      ++elsewhere;
      CHECK(elsewhere_.count(number) == 1 && bases_[elsewhere_.at(number).base].is_there);
    }
    CHECK(backing(page) != Backing::Base ||
          (is_in_base(page) && bases_[place_of(page).base].is_there));
    const bool is_whole = backing(page) == Backing::Clean || backing(page) == Backing::Absent;
    CHECK(!is_whole || !is_mixed(page));
    if (backing(page) == Backing::Absent) ++absent;
  }
  CHECK(ends == inner_ends_ && elsewhere == elsewhere_.size() && absent == absent_pages_);
}

}  // namespace ringshift

#include "shadowmmu/guest_memory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {
namespace {

std::string failure(const char* step, uint64_t bytes, const std::string& reason) {
  return std::string("guest RAM of ") + std::to_string(bytes) + " bytes: " + step + ": " + reason;
}

}  // namespace

std::unique_ptr<GuestMemory> GuestMemory::create(uint64_t bytes, std::string* error) {
  if (bytes == 0 || bytes % kPageSize != 0) {
    *error = failure("size", bytes, "not a positive multiple of 4096");
    return nullptr;
  }
  // From here the destructor gives back all that has been taken.
  std::unique_ptr<GuestMemory> memory(new GuestMemory());
  HostResult made = create_memfd("ringshift-ram", bytes, &memory->descriptor_);
  if (!made.ok()) {
    *error = failure("memfd", bytes, made.text());
    return nullptr;
  }
  HostAddress base;
  HostResult mapped =
      map_shared(memory->descriptor_, 0, static_cast<size_t>(bytes), HostAccess::ReadWrite, &base);
  if (!mapped.ok()) {
    *error = failure("mmap", bytes, mapped.text());
    return nullptr;
  }
  memory->base_ = reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(base.value()));
  memory->size_ = bytes;
  return memory;
}

HostResult GuestMemory::reserve(uint64_t bytes) {
  CHECK(bytes % kPageSize == 0 && bytes <= size_);
  if (bytes == 0) return HostResult();
  const HostResult result = reserve_contents(descriptor_, 0, bytes);
  if (result.ok()) reserved_ = bytes;
  return result;
}

HostResult GuestMemory::empty(uint64_t offset, uint64_t bytes) const {
  static constexpr std::array<uint8_t, 16 * kPageSize> kZeros{};
  const uint64_t end = offset + bytes;
  while (offset < std::min(end, reserved_)) {
    const auto part = std::min<uint64_t>(kZeros.size(), std::min(end, reserved_) - offset);
    const HostResult result = write_contents(descriptor_, offset, std::span(kZeros).first(part));
    if (!result.ok()) return result;
    offset += part;
  }
  return offset == end ? HostResult() : discard_contents(descriptor_, offset, end - offset);
}

bool GuestMemory::clear() {
  if (machine_ != nullptr) {
    const HostAddress base(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(base_)));
    if (!map_fixed(base, descriptor_, 0, size_, HostAccess::ReadWrite).ok()) return false;
    machine_.reset();
  }
  return empty(0, size_).ok();
}

HostResult GuestMemory::take_base(RamBase base, std::vector<RamBase> others) {
  machine_ = std::make_unique<MachinePages>(std::move(base), size_);
  for (RamBase& other : others) {
    const std::vector<bool> present = other.present;
    machine_->add_base(std::move(other));
    for (size_t i = 0; i < present.size(); ++i) {
      if (present[i]) machine_->set(first_page_of(i), Backing::Base);
    }
  }
  const uint64_t end = size_ / kPageSize;
  for (GuestPhysicalPage next(0); next.number() < end;) {
    const auto left = static_cast<uint32_t>(end - next.number());
    const PageRange range{next, machine_->run(next, left)};
    if (is_shared(next)) {
      if (const HostResult result = map_again(range); !result.ok()) return result;
    }
    next = next + range.pages;
  }
  return HostResult();
}

// Shows the pages, which have one backing, where they have always been.
HostResult GuestMemory::map_again(PageRange pages) {
  const GuestPhysical first = pages.first.address();
  const HostAddress at(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(base_)) + first.value());
  const size_t bytes = size_t{pages.pages} * kPageSize;
  if (is_absent(pages.first)) return unmap_to_reserved(at, bytes);
  const HostAccess access = is_shared(pages.first) ? HostAccess::Read : HostAccess::ReadWrite;
  return map_fixed(at, descriptor_of(pages.first), offset_of(pages.first), bytes, access);
}

// Pages of zeros stay holes of the memfd. The base is read by a call, not through the mapping:
// bytes that cannot be read there give an answer, and no signal. Pre: they are one run of a base,
// and nothing is in the memfd at their place.
HostResult GuestMemory::copy_from_base(PageRange pages) {
  std::vector<uint8_t> bytes(size_t{pages.pages} * kPageSize);
  HostResult result = read_contents(descriptor_of(pages.first), offset_of(pages.first), bytes);
  const std::span<const uint8_t> all(bytes);
  for (size_t at = 0; at < all.size() && result.ok(); at += kPageSize) {
    const std::span<const uint8_t> one = all.subspan(at, kPageSize);
    if (is_zero(one)) continue;
    result = write_contents(descriptor_, pages.first.address().value() + at, one);
  }
  counters().memory_pages_copied += pages.pages;
  return result;
}

HostResult GuestMemory::make_own(GuestPhysicalPage page, PageRange* moved) {
  CHECK(is_shared(page));
  *moved = machine_->grain_around(page);
  if (is_absent(page)) {
    const auto grain = static_cast<size_t>(page.number() / machine_->grain_pages());
    CHECK(absent_ != nullptr);
    absent_->fetch(grain);
    return take_arrived(grain, 1, moved);
  }
  if (!is_from_base(page)) {
    if (frozen_ != nullptr) frozen_->before_write(page.number() / machine_->grain_pages());
    machine_->set(page, Backing::Own);
    return map_again(*moved);
  }
  if (machine_->is_mixed(page)) {
    if (!may_join()) return make_whole(page, moved);
    *moved = {page, 1};
    if (const HostResult result = copy_from_base(*moved); !result.ok()) return result;
    machine_->set_alone(page, Backing::Own);
    return map_again(*moved);
  }
  if (const HostResult result = copy_from_base(*moved); !result.ok()) return result;
  machine_->set(page, Backing::Own);
  return map_again(*moved);
}

HostResult GuestMemory::make_whole(GuestPhysicalPage page, PageRange* moved) {
  const PageRange grain = machine_->grain_around(page);
  *moved = {grain.first, 0};
  if (!machine_->is_mixed(page)) return HostResult();
  for (uint32_t i = 0; i < grain.pages; ++i) {
    const GuestPhysicalPage one = grain.first + i;
    if (!is_from_base(one)) continue;
    if (const HostResult result = copy_from_base({one, 1}); !result.ok()) return result;
  }
  *moved = grain;
  // Another machine may have written its page of the base since we looked, so the page counts as
  // dirty as before.
  machine_->set(page, Backing::Own);
  return map_again(grain);
}

bool GuestMemory::is_equal(GuestPhysicalPage page, const BasePlace& place) const {
  std::array<uint8_t, kPageSize> bytes;
  return read_contents(machine_->descriptor_at(place), machine_->offset_at(place), bytes).ok() &&
         std::memcmp(bytes.data(), at(page.address()), bytes.size()) == 0;
}

// As many mappings as the spaces' budgets leave free (monitor/spaces/space_resources.cpp): an
// eighth of the host's, of which grains may take half.
bool GuestMemory::may_join() const {
  static const uint32_t most = most_host_mappings() / 32;
  constexpr uint32_t kCutOut = 2;
  return machine_->inner_ends() + kCutOut <= most;
}

HostResult GuestMemory::join(PageRange pages) {
  for (uint32_t i = 0; i < pages.pages; ++i) {
    machine_->set_alone(pages.first + i, Backing::Base);
  }
  return finish_join(pages);
}

HostResult GuestMemory::finish_join(PageRange pages) {
  if (!map_again(pages).ok()) {
    for (uint32_t i = 0; i < pages.pages; ++i) {
      machine_->set_alone(pages.first + i, Backing::Own);
    }
    return map_again(pages);
  }
  // A host that refuses keeps memory in use that nobody sees.
  (void)empty(pages.first.address().value(), uint64_t{pages.pages} * kPageSize);
  return HostResult();
}

HostResult GuestMemory::join_elsewhere(GuestPhysicalPage page, const BasePlace& place) {
  machine_->set_elsewhere(page, place);
  return finish_join({page, 1});
}

HostResult GuestMemory::make_shared(GuestPhysicalPage page, PageRange* moved) {
  *moved = machine_->grain_around(page);
  machine_->set(page, Backing::Base);
  if (const HostResult result = map_again(*moved); !result.ok()) return result;
  return empty(moved->first.address().value(), uint64_t{moved->pages} * kPageSize);
}

void GuestMemory::track_writes(uint32_t grain_pages) {
  use_grains(grain_pages);
  machine_->track();
}

void GuestMemory::use_grains(uint32_t grain_pages) {
  if (machine_ != nullptr) return;
  const uint64_t grain = uint64_t{grain_pages} * kPageSize;
  RamBase none{.descriptor = -1,
               .offset = 0,
               .grain_pages = grain_pages,
               .present = std::vector<bool>((size_ + grain - 1) / grain)};
  machine_ = std::make_unique<MachinePages>(std::move(none), size_);
}

GuestPhysicalPage GuestMemory::first_page_of(size_t grain) const {
  return GuestPhysicalPage(static_cast<uint32_t>(grain * machine_->grain_pages()));
}

PageRange GuestMemory::pages_of(size_t first, size_t count) const {
  const GuestPhysicalPage page = first_page_of(first);
  const auto end = std::min<uint64_t>((first + count) * machine_->grain_pages(), machine_->pages());
  return {page, static_cast<uint32_t>(end - page.number())};
}

HostResult GuestMemory::move_to_base(size_t first, size_t count, PageRange* moved) {
  *moved = pages_of(first, count);
  for (size_t i = first; i < first + count; ++i) machine_->set(first_page_of(i), Backing::Base);
  if (const HostResult result = map_again(*moved); !result.ok()) return result;
  return empty(moved->first.address().value(), uint64_t{moved->pages} * kPageSize);
}

// A Clean grain stays Clean until it is written: marking all of them Own would take long.
void GuestMemory::end_tracking() { machine_->end_tracking(); }

HostResult GuestMemory::make_clean(size_t first, size_t count, PageRange* moved) {
  for (size_t i = first; i < first + count; ++i) machine_->set_clean(i);
  return freeze(first, count, moved);
}

HostResult GuestMemory::freeze(size_t first, size_t count, PageRange* moved) {
  *moved = {first_page_of(first), 0};
  if (is_shared(moved->first)) return HostResult();
  *moved = pages_of(first, count);
  for (size_t i = first; i < first + count; ++i) machine_->set(first_page_of(i), Backing::Clean);
  return map_again(*moved);
}

HostResult GuestMemory::set_absent(const std::vector<bool>& grains, uint32_t grain_pages,
                                   AbsentGrains* from) {
  CHECK(machine_ == nullptr);
  use_grains(grain_pages);
  CHECK(grains.size() == machine_->grains());
  absent_ = from;
  for (size_t first = 0; first < grains.size();) {
    size_t end = first + 1;
    while (end < grains.size() && grains[end] == grains[first]) ++end;
    if (grains[first]) {
      for (size_t i = first; i < end; ++i) machine_->set(first_page_of(i), Backing::Absent);
      const HostResult result = map_again(pages_of(first, end - first));
      if (!result.ok()) return result;
    }
    first = end;
  }
  return HostResult();
}

HostResult GuestMemory::take_arrived(size_t first, size_t count, PageRange* moved) {
  *moved = pages_of(first, count);
  for (size_t i = first; i < first + count; ++i) machine_->set(first_page_of(i), Backing::Own);
  return map_again(*moved);
}

bool GuestMemory::is_as_base(GuestPhysicalPage page) const {
  if (machine_ == nullptr || is_shared(page) || !machine_->is_in_base(page)) return false;
  const PageRange grain = machine_->grain_around(page);
  std::vector<uint8_t> bytes(size_t{grain.pages} * kPageSize);
  if (!read_contents(machine_->descriptor_of(page), machine_->offset_of(grain.first), bytes).ok()) {
    return false;
  }
  return std::memcmp(bytes.data(), at(grain.first.address()), bytes.size()) == 0;
}

HostResult GuestMemory::add_copy_as_base() {
  constexpr uint32_t kGrainPages = 16;
  use_grains(kGrainPages);
  int copy = -1;
  if (const HostResult result = create_memfd("ringshift-copy", 2 * size_, &copy); !result.ok()) {
    return result;
  }
  const uint64_t grain = uint64_t{machine_->grain_pages()} * kPageSize;
  RamBase base{.descriptor = copy,
               .offset = 0,
               .grain_pages = machine_->grain_pages(),
               .present = std::vector<bool>(machine_->grains())};
  HostResult result;
  for (uint64_t at = 0; at < size_ && result.ok();) {
    const ByteRange range = next_contents(descriptor_, at, size_);
    if (range.begin == range.end) break;
    const auto bytes = span(GuestPhysical(range.begin), range.end - range.begin);
    result = write_contents(copy, range.begin, bytes);
    if (result.ok()) result = write_contents(copy, size_ + range.begin, bytes);
    for (uint64_t i = range.begin / grain; i * grain < range.end; ++i) base.present[i] = true;
    at = range.end;
  }
  if (result.ok())
    add_base(std::move(base));
  else
    close_descriptor(copy);
  return result;
}

std::vector<bool> GuestMemory::parts_in_use(uint64_t bytes) const {
  std::vector<bool> used((size_ + bytes - 1) / bytes);
  for (uint64_t at = 0; at < size_;) {
    const ByteRange range = next_contents(descriptor_, at, size_);
    if (range.begin == range.end) break;
    for (uint64_t part = range.begin / bytes; part * bytes < range.end; ++part) used[part] = true;
    at = range.end;
  }
  if (machine_ == nullptr) return used;
  for (uint64_t page = 0; page < size_ / kPageSize; ++page) {
    if (is_from_base(GuestPhysicalPage(page))) used[page * kPageSize / bytes] = true;
  }
  return used;
}

GuestMemory::~GuestMemory() {
  if (base_ != nullptr) {
    HostAddress base(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(base_)));
    CHECK(release(base, static_cast<size_t>(size_)).ok());
  }
  close_descriptor(descriptor_);
}

}  // namespace ringshift

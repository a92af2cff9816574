#include "shadowmmu/shadow_space.h"

#include "shadowmmu/base/bits.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/host_mapping.h"
#include "shadowmmu/host_window.h"

namespace ringshift {
namespace {

constexpr uint64_t kWindowBytes = uint64_t{1} << 32;
constexpr size_t kSlotBytes = (kWindowBytes / kPageSize) * sizeof(ShadowMapping*);

}  // namespace

std::unique_ptr<ShadowSpace> ShadowSpace::create(GuestMemory& ram, ReverseMap& reverse,
                                                 TraceTable& traces, ShadowBudget budget,
                                                 std::string* error) {
  std::unique_ptr<HostWindow> window = HostWindow::create(ram, budget.refusals, error);
  if (window == nullptr) return nullptr;
  std::unique_ptr<ShadowSpace> space = create(std::move(window), reverse, traces, budget, error);
  if (space != nullptr) space->ram_ = &ram;
  return space;
}

std::unique_ptr<ShadowSpace> ShadowSpace::create(std::unique_ptr<WindowMapper> mapper,
                                                 ReverseMap& reverse, TraceTable& traces,
                                                 ShadowBudget budget, std::string* error) {
  auto space =
      std::unique_ptr<ShadowSpace>(new ShadowSpace(std::move(mapper), reverse, traces, budget));
  // Not calloc's: once such a piece has been freed, glibc serves the next from its heap, and zeroes
  // it.
  HostAddress slots;
  if (const HostResult result = map_private(kSlotBytes, &slots); !result.ok()) {
    *error = "cannot allocate the shadow map: " + result.text();
    return nullptr;
  }
  space->slots_ = reinterpret_cast<ShadowMapping**>(slots.value());
  space->region_count_.assign(Region::kCount, 0);
  space->local_count_.assign(Region::kCount, 0);
  space->large_count_.assign(Region::kCount, 0);
  return space;
}

ShadowSpace::~ShadowSpace() {
  if (slots_ != nullptr) {
    drop_all();
    (void)release(HostAddress(reinterpret_cast<uint64_t>(slots_)), kSlotBytes);
  }
}

std::optional<GuestVirtual> ShadowSpace::linear_of(uint64_t host_address) const {
  if (host_address - base().value() >= kWindowBytes) return std::nullopt;
  return GuestVirtual(static_cast<uint32_t>(host_address - base().value()));
}

// A mapping that would exceed the budget makes the space start afresh. False: it does not fit into
// an empty space either.
bool ShadowSpace::make_room_for(uint32_t mappings) {
  if (!is_affordable(mappings) || mapped_pages_ > budget_.pages) {
    counters().shadow_evictions++;
    drop_all();
  }
  return is_affordable(mappings);
}

// Linux joins neighbouring mappings of one file where offsets and rights go on.
bool ShadowSpace::joins_the_page_before(uint32_t page) const {
  const ShadowMapping* before = page == 0 ? nullptr : slots_[page - 1];
  const ShadowMapping* here = page == kPagesInSpace ? nullptr : slots_[page];
  if (before == nullptr || here == nullptr) return before == here;
  return before->physical_page + 1 == here->physical_page &&
         before->is_writable == here->is_writable && before->is_executable == here->is_executable &&
         before->backing == here->backing && here->backing != Backing::Elsewhere;
}

uint32_t ShadowSpace::boundaries_around(uint32_t page) const {
  return (joins_the_page_before(page) ? 0U : 1U) + (joins_the_page_before(page + 1) ? 0U : 1U);
}

// Its two ends, those of the 2 MiB parts that may be dropped of a large page, those of the parts
// that are backed otherwise, and those of the pages that come out read-only.
uint32_t ShadowSpace::mappings_for(const ShadowRun& run) const {
  uint32_t mappings = run.is_large ? 4 : 2;
  for (uint32_t i = 1; i < run.pages && has_base(); ++i) {
    const Backing here = backing_of(run.physical_page + i);
    const bool joins = here == backing_of(run.physical_page + (i - 1));
    if (!joins || here == Backing::Elsewhere) ++mappings;
  }
  if (!run.may_write || run.may_execute) return mappings;
  for (uint32_t i = 0; i < run.pages; ++i) {
    if (traces_.is_traced(run.physical_page + i)) mappings += 2;
  }
  return mappings;
}

bool ShadowSpace::fill(const ShadowRun& run) {
  settle();  // present mappings are not the list's to unmap
  if (!make_room_for(mappings_for(run))) return false;
  const uint32_t first = run.virtual_page.number();
  for (uint32_t i = 0; i < run.pages; ++i) remove_record(GuestVirtualPage(first + i));
  HostAccess access = run.may_write ? HostAccess::ReadWrite : HostAccess::Read;
  if (run.may_execute) access = HostAccess::ReadExecute;  // traced, hence not written directly
  if (!mapper_->map(run.virtual_page, run.physical_page, run.pages, access)) {
    if (!mapper_->unmap(run.virtual_page, run.pages)) drop_all();
    return false;
  }
  for (uint32_t i = 0; i < run.pages; ++i) insert_record(run, i);
  counters().shadow_fills++;
  for (uint32_t i = 0; i < run.pages; ++i) {
    ShadowMapping& mapping = *slots_[first + i];
    if (!mapping.is_writable || !traces_.is_traced(mapping.physical_page)) continue;
    if (!make_read_only(mapping)) return false;
  }
  return true;
}

void ShadowSpace::note_touched(uint32_t page) {
  const uint32_t block = page / kBlockPages;
  uint64_t& word = touched_blocks_[block / kWordBits];
  const uint64_t bit = uint64_t{1} << (block % kWordBits);
  if ((word & bit) != 0) return;
  word |= bit;
  ++touched_block_count_;
}

size_t ShadowSpace::bytes() const {
  constexpr size_t kBytesOfRecord = sizeof(ShadowMapping) + 16;  // with malloc's own
  constexpr size_t kBytesOfBlock = size_t{2} * kPageSize;        // its slots, the host's page table
  return mapped_pages_ * kBytesOfRecord + touched_block_count_ * kBytesOfBlock;
}

void ShadowSpace::insert_record(const ShadowRun& run, uint32_t index) {
  auto* mapping = new ShadowMapping();
  mapping->space = this;
  mapping->virtual_page = run.virtual_page + index;
  mapping->physical_page = run.physical_page + index;
  mapping->may_write = run.may_write;
  mapping->backing = backing_of(mapping->physical_page);
  mapping->is_writable = run.may_write && !run.may_execute && mapping->backing == Backing::Own;
  mapping->is_executable = run.may_execute;
  mapping->is_large = run.is_large;
  mapping->is_global = run.is_global;
  const uint32_t number = mapping->virtual_page.number();
  boundaries_ -= boundaries_around(number);
  slots_[number] = mapping;
  boundaries_ += boundaries_around(number);
  note_touched(number);
  const uint32_t region = Region::of(mapping->virtual_page).index();
  region_count_[region]++;
  held_regions_[region / kWordBits] |= uint64_t{1} << (region % kWordBits);
  ++mapped_pages_;
  if (mapping->is_large) large_count_[region]++;
  if (!mapping->is_global) {
    local_count_[region]++;
    ++local_pages_;
  }
  reverse_.of(mapping->physical_page).push_back(*mapping);
}

void ShadowSpace::remove_record(GuestVirtualPage page) {
  ShadowMapping* mapping = slots_[page.number()];
  if (mapping == nullptr) return;
  reverse_.of(mapping->physical_page).erase(ShadowMappings::s_iterator_to(*mapping));
  boundaries_ -= boundaries_around(page.number());
  slots_[page.number()] = nullptr;
  boundaries_ += boundaries_around(page.number());
  const uint32_t region = Region::of(page).index();
  if (--region_count_[region] == 0) {
    held_regions_[region / kWordBits] &= ~(uint64_t{1} << (region % kWordBits));
  }
  --mapped_pages_;
  if (mapping->is_large) large_count_[region]--;
  if (!mapping->is_global) {
    local_count_[region]--;
    --local_pages_;
  }
  delete mapping;
}

// False: that could not be, so the space has dropped all it had, this mapping with it.
bool ShadowSpace::make_read_only(ShadowMapping& mapping) {
  const uint32_t number = mapping.virtual_page.number();
  boundaries_ -= boundaries_around(number);
  mapping.is_writable = mapping.is_executable = false;
  boundaries_ += boundaries_around(number);
  if (mapper_->restrict_to(mapping.virtual_page, HostAccess::Read)) return true;
  counters().shadow_evictions++;
  drop_all();
  return false;
}

// How many mappings there are is the guest's to choose, and each may take two of the host's.
template <typename IsConcerned>
void ShadowSpace::make_read_only_all(ShadowMappings& mappings, IsConcerned is_concerned) {
  for (auto next = mappings.begin(); next != mappings.end();) {
    ShadowMapping& mapping = *next++;
    if (!is_concerned(mapping)) continue;
    ShadowSpace& space = *mapping.space;
    constexpr uint32_t kCutOut = 2;
    const bool is_affordable = space.is_affordable(kCutOut);
    if (is_affordable && space.make_read_only(mapping)) continue;
    if (!is_affordable) {
      counters().shadow_evictions++;
      space.drop_all();
    }
    next = mappings.begin();  // several may have gone; those seen to are not concerned any more
  }
}

void ShadowSpace::protect_all(ShadowMappings& mappings) {
  make_read_only_all(mappings, [](const ShadowMapping& mapping) { return mapping.is_writable; });
}

void ShadowSpace::revoke_execution_all(ShadowMappings& mappings) {
  make_read_only_all(mappings, [](const ShadowMapping& mapping) { return mapping.is_executable; });
}

bool ShadowSpace::should_write(const ShadowMapping& mapping, Backing backing) const {
  return mapping.may_write && backing == Backing::Own && !traces_.is_traced(mapping.physical_page);
}

// Maps the page of the mapping anew, and those after it that can be with it, `most` in all. False:
// the space has dropped all it had.
bool ShadowSpace::follow(const ShadowMapping& mapping, uint32_t most, Backing now) {
  constexpr uint32_t kCutOut = 2;
  const uint32_t first = mapping.virtual_page.number();
  const GuestPhysicalPage physical = mapping.physical_page;
  const bool write = should_write(mapping, now);
  uint32_t pages = 1;
  for (; pages < most && first + pages < kPagesInSpace; ++pages) {
    const ShadowMapping* next = slots_[first + pages];
    const bool goes_on = next != nullptr && next->physical_page == physical + pages &&
                         next->backing == mapping.backing && should_write(*next, now) == write;
    if (!goes_on) break;
  }
  const HostAccess access = write ? HostAccess::ReadWrite : HostAccess::Read;
  if (is_affordable(kCutOut) && mapper_->map(GuestVirtualPage(first), physical, pages, access)) {
    for (uint32_t number = first; number < first + pages; ++number) {
      boundaries_ -= boundaries_around(number);
      slots_[number]->is_writable = write;
      slots_[number]->backing = now;
      boundaries_ += boundaries_around(number);
    }
    return true;
  }
  counters().shadow_evictions++;
  drop_all();
  return false;
}

void ShadowSpace::follow_all(ReverseMap& reverse, const PageRange& pages, Backing now) {
  for (uint32_t i = 0; i < pages.pages; ++i) {
    ShadowMappings& mappings = reverse.of(pages.first + i);
    for (auto next = mappings.begin(); next != mappings.end();) {
      ShadowMapping& mapping = *next++;
      if (mapping.backing == now) continue;
      ShadowSpace& space = *mapping.space;
      if (space.ram_ == nullptr) {
        space.drop(mapping.virtual_page);  // it cannot show the base
      } else if (!space.follow(mapping, pages.pages - i, now)) {
        next = mappings.begin();  // several may have gone; those seen to are not concerned any more
      }
    }
  }
}

void ShadowSpace::drop_run(uint32_t first, uint32_t count) {
  constexpr size_t kMostUnsettled = 256;
  for (uint32_t i = 0; i < count; ++i) remove_record(GuestVirtualPage(first + i));
  counters().shadow_drops++;
  if (!unsettled_.empty() && unsettled_.back().first + unsettled_.back().count == first) {
    unsettled_.back().count += count;
    return;
  }
  if (unsettled_.size() >= kMostUnsettled) unmap_unsettled();
  unsettled_.push_back({first, count});
}

void ShadowSpace::unmap_unsettled() {
  for (const PageRun& run : unsettled_) {
    if (mapper_->unmap(GuestVirtualPage(run.first), run.count)) continue;
    counters().shadow_evictions++;
    return drop_all();
  }
  unsettled_.clear();
}

void ShadowSpace::drop(GuestVirtualPage page) {
  if (slots_[page.number()] != nullptr) drop_run(page.number(), 1);
}

void ShadowSpace::drop_region(GuestVirtualPage page) {
  const Region region = Region::of(page);
  if (region_count_[region.index()] == 0) return;
  counters().shadow_region_drops++;
  drop_run(region.page(0).number(), Region::kPages);
}

void ShadowSpace::drop_all() {
  for (uint32_t index = 0; index < Region::kCount; ++index) {
    if (region_count_[index] == 0) continue;
    for (uint32_t i = 0; i < Region::kPages; ++i) remove_record(Region(index).page(i));
  }
  unsettled_.clear();
  is_stuck_ = !mapper_->clear();
  counters().shadow_drops++;
  if (touched_block_count_ == 0) return;
  // All slots are empty, so they are zero again without their memory.
  if (!discard(HostAddress(reinterpret_cast<uint64_t>(slots_)), kSlotBytes).ok()) return;
  touched_blocks_.fill(0);
  touched_block_count_ = 0;
}

void ShadowSpace::retain(const std::function<bool(const ShadowMapping&)>& keep,
                         const std::function<bool(Region region)>& skip_region) {
  for_each_set(held_regions_, [&](uint32_t index) {
    if (!skip_region(Region(index))) retain_region(Region(index), keep);
  });
}

void ShadowSpace::retain_region(Region region,
                                const std::function<bool(const ShadowMapping&)>& keep) {
  constexpr uint32_t kAskedAtOnce = 512;  // 2 MiB: the smallest large page
  const uint32_t first = region.page(0).number();
  for (uint32_t i = 0; i < Region::kPages; ++i) {
    const ShadowMapping* mapping = slots_[first + i];
    if (mapping == nullptr) continue;
    const bool large = mapping->is_large;
    const bool kept = keep(*mapping);
    if (!large) {
      if (!kept) drop_run(first + i, 1);
      continue;
    }
    const uint32_t until = (i / kAskedAtOnce + 1) * kAskedAtOnce;
    if (!kept) drop_run(first + i, until - i);
    i = until - 1;
  }
}

uint32_t ShadowSpace::count_boundaries() const {
  uint32_t boundaries = joins_the_page_before(kPagesInSpace) ? 0 : 1;
  for (uint32_t page = 0; page < kPagesInSpace; ++page) {
    if (!joins_the_page_before(page)) ++boundaries;
    // In an empty region only the first page can differ from the page before it.
    if (region_count_[Region::of(GuestVirtualPage(page)).index()] == 0) page |= Region::kPages - 1;
  }
  return boundaries;
}

void ShadowSpace::verify_invariants() const {
  size_t found = 0;
  size_t local = 0;
  for (uint32_t number = 0; number < kPagesInSpace; ++number) {
    if (region_count_[Region::of(GuestVirtualPage(number)).index()] == 0) {
      number |= Region::kPages - 1;
      continue;
    }
    const ShadowMapping* mapping = slots_[number];
    if (mapping == nullptr) continue;
    ++found;
    if (!mapping->is_global) ++local;
    CHECK(mapping->space == this && mapping->virtual_page.number() == number);
    CHECK(!mapping->is_writable || mapping->may_write);
    CHECK(!mapping->is_writable || !traces_.is_traced(mapping->physical_page));
    CHECK(!mapping->is_executable || traces_.is_traced_for_code(mapping->physical_page));
    CHECK(mapping->backing == backing_of(mapping->physical_page));
    CHECK(!mapping->is_writable || mapping->backing == Backing::Own);
    CHECK(mapping->is_linked());
  }
  CHECK(found == mapped_pages_ && local == local_pages_);
  CHECK(count_boundaries() == boundaries_);
}

}  // namespace ringshift

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
  return create(std::move(window), reverse, traces, budget, error);
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
  space->region_count_.assign(kPagesInSpace / kRegionPages, 0);
  space->local_count_.assign(kPagesInSpace / kRegionPages, 0);
  space->large_count_.assign(kPagesInSpace / kRegionPages, 0);
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

// Each call may split a host mapping in two or three. Counting upwards only and starting afresh at
// the limit is simple, and bounded whatever the guest does. False: not even then.
bool ShadowSpace::spend(uint32_t mappings) {
  const auto is_affordable = [&] {
    return spent_ <= budget_.host_mappings && mappings <= budget_.host_mappings - spent_;
  };
  if (!is_affordable() || mapped_pages_ > budget_.pages) {
    counters().shadow_evictions++;
    drop_all();
  }
  if (!is_affordable()) return false;
  spent_ += mappings;
  return true;
}

// Its two ends, those of the 2 MiB parts that may be dropped of a large page, and those of the
// pages that come out read-only.
uint32_t ShadowSpace::mappings_for(const ShadowRun& run) const {
  uint32_t mappings = run.is_large ? 4 : 2;
  if (!run.may_write || run.may_execute) return mappings;
  for (uint32_t i = 0; i < run.pages; ++i) {
    if (traces_.is_traced(run.physical_page + i)) mappings += 2;
  }
  return mappings;
}

bool ShadowSpace::fill(const ShadowRun& run) {
  settle();  // what is mapped now is not for the list to unmap
  if (!spend(mappings_for(run))) return false;
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
  mapping->is_writable = run.may_write && !run.may_execute;
  mapping->is_executable = run.may_execute;
  mapping->is_large = run.is_large;
  mapping->is_global = run.is_global;
  slots_[mapping->virtual_page.number()] = mapping;
  note_touched(mapping->virtual_page.number());
  const uint32_t region = mapping->virtual_page.number() / kRegionPages;
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
  slots_[page.number()] = nullptr;
  const uint32_t region = page.number() / kRegionPages;
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
  mapping.is_writable = mapping.is_executable = false;
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
    const bool is_affordable = space.spent_ + 2 <= space.budget_.host_mappings;
    if (is_affordable) space.spent_ += 2;
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
  const uint32_t region = page.number() / kRegionPages;
  if (region_count_[region] == 0) return;
  counters().shadow_region_drops++;
  drop_run(region * kRegionPages, kRegionPages);
}

void ShadowSpace::drop_all() {
  for (uint32_t region = 0; region < region_count_.size(); ++region) {
    if (region_count_[region] == 0) continue;
    for (uint32_t i = 0; i < kRegionPages; ++i) {
      remove_record(GuestVirtualPage(region * kRegionPages + i));
    }
  }
  unsettled_.clear();
  spent_ = mapper_->clear() ? 0 : budget_.host_mappings;
  counters().shadow_drops++;
  if (touched_block_count_ == 0) return;
  // All slots are empty, so they are zero again without their memory.
  if (!discard(HostAddress(reinterpret_cast<uint64_t>(slots_)), kSlotBytes).ok()) return;
  touched_blocks_.fill(0);
  touched_block_count_ = 0;
}

void ShadowSpace::retain(const std::function<bool(const ShadowMapping&)>& keep,
                         const std::function<bool(uint32_t region)>& skip_region) {
  for_each_set(held_regions_, [&](uint32_t region) {
    if (!skip_region(region)) retain_region(region, keep);
  });
}

void ShadowSpace::retain_region(uint32_t region,
                                const std::function<bool(const ShadowMapping&)>& keep) {
  constexpr uint32_t kAskedAtOnce = 512;  // 2 MiB: the smallest large page
  const uint32_t first = region * kRegionPages;
  for (uint32_t i = 0; i < kRegionPages; ++i) {
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

void ShadowSpace::verify_invariants() const {
  size_t found = 0;
  size_t local = 0;
  for (uint32_t number = 0; number < kPagesInSpace; ++number) {
    if (region_count_[number / kRegionPages] == 0) {
      number |= kRegionPages - 1;
      continue;
    }
    const ShadowMapping* mapping = slots_[number];
    if (mapping == nullptr) continue;
    ++found;
    if (!mapping->is_global) ++local;
    CHECK(mapping->space == this && mapping->virtual_page.number() == number);
    CHECK(!mapping->is_writable || mapping->may_write);
    CHECK(!mapping->is_writable || !traces_.is_traced(mapping->physical_page));
    CHECK(!mapping->is_executable || traces_.is_traced(mapping->physical_page));
    CHECK(mapping->is_linked());
  }
  CHECK(found == mapped_pages_ && local == local_pages_);
}

}  // namespace ringshift

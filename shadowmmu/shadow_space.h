// ShadowSpace: one view of guest-linear space as host mappings: which guest page is where, with
// which rights. Owns: its mapper (a window, or the memory of a sandboxed process) and the records
// of its mappings. Does not own: RAM, traces. Keeps: M1 M3 M4. It is a TLB without a size limit: an
// entry stays until the guest flushes it (SDM 3A 4.10.4), or a budget of host mappings is used up.
// See docs/shadow-mmu.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/bits.h"
#include "shadowmmu/guest_memory.h"
#include "shadowmmu/host_refusals.h"
#include "shadowmmu/reverse_map.h"
#include "shadowmmu/trace.h"
#include "shadowmmu/window_mapper.h"

namespace ringshift {

// A run of guest pages, contiguous in both address kinds, with the same rights.
struct ShadowRun {
  GuestVirtualPage virtual_page;
  GuestPhysicalPage physical_page;
  uint32_t pages = 1;
  bool may_write = false;
  bool may_execute = false;  // only outside our own address space; the pages must be traced
  bool is_large = false;
  bool is_global = false;
};

struct ShadowBudget {
  uint32_t host_mappings = 0;
  uint32_t pages = 0;
  HostRefusals* refusals = nullptr;  // of a window of ours; null: only the host's own
};

class ShadowSpace {
 public:
  // Both bounds make the space start afresh: host mappings (of vm.max_map_count), and pages mapped
  // (a record of some 80 bytes each; a guest may map the same large page everywhere).
  static std::unique_ptr<ShadowSpace> create(GuestMemory& ram, ReverseMap& reverse,
                                             TraceTable& traces, ShadowBudget budget,
                                             std::string* error);
  // The same in memory that is not ours.
  static std::unique_ptr<ShadowSpace> create(std::unique_ptr<WindowMapper> mapper,
                                             ReverseMap& reverse, TraceTable& traces,
                                             ShadowBudget budget, std::string* error);
  ~ShadowSpace();
  ShadowSpace(const ShadowSpace&) = delete;
  ShadowSpace& operator=(const ShadowSpace&) = delete;

  // Host address of guest-linear 0; 0 if the space is in memory that is not ours.
  [[nodiscard]] HostAddress base() const { return mapper_->base(); }
  [[nodiscard]] std::optional<GuestVirtual> linear_of(uint64_t host_address) const;

  // Maps the run, replacing earlier mappings. Traced pages come out read-only. False: the host
  // refused, or it would take more mappings than the budget has (the caller interprets the access
  // instead); all else may be gone.
  [[nodiscard]] bool fill(const ShadowRun& run);
  [[nodiscard]] const ShadowMapping* find(GuestVirtualPage page) const {
    return slots_[page.number()];
  }
  // A page has become traced: its mappings, in whatever space, lose write permission. A space whose
  // budget that would exceed, or where the host refuses, drops all it has.
  static void protect_all(ShadowMappings& mappings);
  // The bytes of a page were written: it may be read, no longer executed.
  static void revoke_execution_all(ShadowMappings& mappings);

  // The pages, which lie together, are backed by something else now: their mappings, in whatever
  // space, show that, with the rights they should have. A space that cannot drops the pages, or all
  // it has. May be called while translated code of ours waits for a callout.
  static void follow_all(ReverseMap& reverse, const PageRange& pages, Backing now);

  // Removes the page's record at once. The host mapping stays usable until settle(), which unmaps
  // neighbours in one call.
  void drop(GuestVirtualPage page);
  // Every mapping of the 4 MiB around it (a large page may have been cut from it).
  void drop_region(GuestVirtualPage page);
  void drop_all();
  // Drops the mappings `keep` refuses, asking about large ones once for each 2 MiB. Regions of 4
  // MiB that `skip_region` accepts are left as they are.
  void retain(const std::function<bool(const ShadowMapping&)>& keep,
              const std::function<bool(Region region)>& skip_region);

  // Before guest code runs that can reach the mappings.
  void settle() {
    if (!is_settled()) unmap_unsettled();
  }
  [[nodiscard]] bool is_settled() const { return unsettled_.empty(); }

  // True: the space is the memory of a process that has the machine's own pages and no base.
  [[nodiscard]] bool shows_own_only() const { return ram_ == nullptr; }

  [[nodiscard]] size_t mapped_pages() const { return mapped_pages_; }
  // Neighbouring pages that the host keeps in two mappings, once settle() has been called: the
  // space takes one mapping more than that.
  [[nodiscard]] uint32_t host_boundaries() const { return boundaries_; }
  // Host memory the records take, and the host's tables for as much linear space: it grows with
  // pages mapped and with 2 MiB blocks touched since the last drop_all().
  [[nodiscard]] size_t bytes() const;
  // Pages whose translation is not global, in all and in a region of 4 MiB: a CR3 load flushes
  // them.
  [[nodiscard]] size_t local_pages() const { return local_pages_; }
  [[nodiscard]] bool has_local(Region region) const { return local_count_[region.index()] != 0; }
  // Regions with some of those.
  template <typename See>
  void for_each_local(const See& see) const {
    for_each_set(held_regions_, [&](uint32_t index) {
      if (local_count_[index] != 0) see(Region(index));
    });
  }
  // Whether anything in the 4 MiB around the page was cut out of a large one.
  [[nodiscard]] bool has_large(GuestVirtualPage page) const {
    return large_count_[Region::of(page).index()] != 0;
  }
  void verify_invariants() const;

 private:
  static constexpr uint32_t kPagesInSpace = 1U << 20;
  static constexpr uint32_t kBlockPages = 512;  // whose slots fill a page

  ShadowSpace(std::unique_ptr<WindowMapper> mapper, ReverseMap& reverse, TraceTable& traces,
              ShadowBudget budget)
      : mapper_(std::move(mapper)), reverse_(reverse), traces_(traces), budget_(budget) {}
  void remove_record(GuestVirtualPage page);
  void insert_record(const ShadowRun& run, uint32_t index);
  void drop_run(uint32_t first, uint32_t count);
  void unmap_unsettled();
  void retain_region(Region region, const std::function<bool(const ShadowMapping&)>& keep);
  [[nodiscard]] bool make_room_for(uint32_t mappings);
  [[nodiscard]] bool is_affordable(uint32_t mappings) const {
    return !is_stuck_ && boundaries_ + mappings <= budget_.host_mappings;
  }
  [[nodiscard]] bool joins_the_page_before(uint32_t page) const;
  [[nodiscard]] uint32_t boundaries_around(uint32_t page) const;
  [[nodiscard]] uint32_t count_boundaries() const;
  [[nodiscard]] uint32_t mappings_for(const ShadowRun& run) const;
  [[nodiscard]] bool make_read_only(ShadowMapping& mapping);
  [[nodiscard]] bool has_base() const {
    return ram_ != nullptr && ram_->machine_pages() != nullptr;
  }
  [[nodiscard]] Backing backing_of(GuestPhysicalPage page) const {
    return ram_ != nullptr ? ram_->backing(page) : Backing::Own;
  }
  [[nodiscard]] bool should_write(const ShadowMapping& mapping, Backing backing) const;
  [[nodiscard]] bool follow(const ShadowMapping& mapping, uint32_t most, Backing now);
  template <typename IsConcerned>
  static void make_read_only_all(ShadowMappings& mappings, IsConcerned is_concerned);
  void note_touched(uint32_t page);

  std::unique_ptr<WindowMapper> mapper_;
  ReverseMap& reverse_;
  TraceTable& traces_;
  ShadowBudget budget_;
  const GuestMemory* ram_ = nullptr;  // null: no mapping is ever the base's
  uint32_t boundaries_ = 0;
  bool is_stuck_ = false;            // the host has refused to take away a mapping
  ShadowMapping** slots_ = nullptr;  // by virtual page; lazily populated by the host
  struct PageRun {
    uint32_t first;
    uint32_t count;
  };
  std::vector<PageRun> unsettled_;  // dropped, still mapped
  std::vector<uint32_t> region_count_;
  std::array<uint64_t, Region::kCount / 64> held_regions_{};  // a bit each: count != 0
  std::vector<uint32_t> local_count_;                         // of those, not global
  std::vector<uint32_t> large_count_;                         // of those, cut out of large pages
  std::array<uint64_t, kPagesInSpace / kBlockPages / 64> touched_blocks_{};
  size_t touched_block_count_ = 0;
  size_t mapped_pages_ = 0;
  size_t local_pages_ = 0;
};

}  // namespace ringshift

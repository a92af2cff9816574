#include "monitor/memory/linear_memory.h"

#include <algorithm>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/walker.h"

namespace ringshift {
namespace {

constexpr uint32_t kLargeRegionShift = 22;  // 4 MiB, the largest page there is

uint32_t part_in_page(GuestVirtual address, uint32_t length) {
  return std::min(length, kPageSize - address.offset_in_page());
}

}  // namespace

MaybeFault LinearMemory::translate(GuestVirtual address, AccessKind access, Privilege privilege,
                                   GuestPhysical* physical) {
  const TlbEntry& entry = slot(address, access, privilege);
  if ((entry.tag & ~kTagNoHost) != tag_of(address)) {
    RETURN_IF_FAULT(fill(address, access, privilege));
  }
  *physical = entry.physical + address.offset_in_page();
  return kNoFault;
}

MaybeFault LinearMemory::read_slowly(GuestVirtual address, void* bytes, uint32_t length,
                                     Privilege privilege) {
  DCHECK(length >= 1 && length <= kPageSize);
  uint32_t first_part = part_in_page(address, length);
  uint32_t second_part = length - first_part;
  GuestPhysical first;
  GuestPhysical second;
  RETURN_IF_FAULT(translate(address, AccessKind::Read, privilege, &first));
  if (second_part != 0) {
    RETURN_IF_FAULT(translate(address + first_part, AccessKind::Read, privilege, &second));
  }
  physical_.read(first, bytes, first_part);
  if (second_part != 0) {
    physical_.read(second, static_cast<uint8_t*>(bytes) + first_part, second_part);
  }
  return kNoFault;
}

// By way of PhysicalMemory even when a host pointer has just been cached: the observer's reaction
// to the first page may concern the second.
MaybeFault LinearMemory::write_slowly(GuestVirtual address, const void* bytes, uint32_t length,
                                      Privilege privilege) {
  DCHECK(length >= 1 && length <= kPageSize);
  uint32_t first_part = part_in_page(address, length);
  uint32_t second_part = length - first_part;
  GuestPhysical first;
  GuestPhysical second;
  RETURN_IF_FAULT(translate(address, AccessKind::Write, privilege, &first));
  if (second_part != 0) {
    RETURN_IF_FAULT(translate(address + first_part, AccessKind::Write, privilege, &second));
  }
  physical_.write(first, bytes, first_part);
  if (second_part != 0) {
    physical_.write(second, static_cast<const uint8_t*>(bytes) + first_part, second_part);
  }
  return kNoFault;
}

MaybeFault LinearMemory::probe(GuestVirtual address, uint32_t length, AccessKind access,
                               Privilege privilege) {
  DCHECK(length >= 1 && length <= kPageSize);
  uint32_t first_part = part_in_page(address, length);
  GuestPhysical ignored;
  RETURN_IF_FAULT(translate(address, access, privilege, &ignored));
  if (first_part == length) return kNoFault;
  return translate(address + first_part, access, privilege, &ignored);
}

MaybeFault LinearMemory::fetch(GuestVirtual address, void* bytes, uint32_t length,
                               Privilege privilege, uint32_t* fetched) {
  DCHECK(length >= 1 && length <= kPageSize);
  *fetched = 0;
  if (const uint8_t* host = cached(address, length, AccessKind::Fetch, privilege)) [[likely]] {
    load_bytes(bytes, host, length);
    *fetched = length;
    return kNoFault;
  }
  uint32_t first_part = part_in_page(address, length);
  GuestPhysical physical;
  RETURN_IF_FAULT(translate(address, AccessKind::Fetch, privilege, &physical));
  physical_.read(physical, bytes, first_part);
  *fetched = first_part;
  if (first_part == length) return kNoFault;
  // The instruction may end before the boundary: a fault beyond it is no fault yet.
  if (translate(address + first_part, AccessKind::Fetch, privilege, &physical)) return kNoFault;
  physical_.read(physical, static_cast<uint8_t*>(bytes) + first_part, length - first_part);
  *fetched = length;
  return kNoFault;
}

MaybeFault LinearMemory::fill(GuestVirtual address, AccessKind access, Privilege privilege) {
  WalkResult result = walk(paging_mode(), physical_, address, access, privilege);
  if (result.fault) {
    // The processor forgets its translations of an address that faults (SDM 3A 4.10.4.1).
    drop_page(address);
    return result.fault;
  }
  ++counters().tlb_fills;
  GuestPhysical base = physical_.masked(result.translation.physical).page_base();
  GuestPhysicalPage page = GuestPhysicalPage::of(base);
  TlbEntry& entry = slot(address, access, privilege);
  entry.host = host_page(page, access);
  entry.tag = tag_of(address) | (entry.host != nullptr ? 0 : kTagNoHost);
  entry.physical = base;
  if (!result.translation.global && local_.size() <= kMostLocal) local_.push_back(&entry);
  if (result.translation.page_bytes != kPageSize) {
    large_regions_.set(address.value() >> kLargeRegionShift);
  }
  return kNoFault;
}

// Pages of devices that want to see each access, and watched pages for writing, keep their
// translation but no host pointer.
uint8_t* LinearMemory::host_page(GuestPhysicalPage page, AccessKind access) {
  if (access == AccessKind::Write) {
    return physical_.is_watched(page) ? nullptr : physical_.writable_page(page);
  }
  // Nothing is written through the entry of a read or a fetch (slot()).
  return const_cast<uint8_t*>(physical_.readable_page(page));
}

void LinearMemory::flush() {
  ++counters().tlb_flushes;
  large_regions_.reset();
  local_.clear();
  generation_ += kTagGenerationStep;
  if (generation_ < kPageSize) return;
  // The generations have run out: entries of the first one must not come back to life.
  generation_ = 0;
  for (TlbTable& table : tlb_) table.fill(TlbEntry());
}

void LinearMemory::flush_all_but_global() {
  if (local_.size() > kMostLocal) return flush();
  ++counters().tlb_flushes;
  for (TlbEntry* entry : local_) *entry = TlbEntry();
  local_.clear();
}

void LinearMemory::flush_page(GuestVirtual address) {
  ++counters().tlb_invlpg;
  drop_page(address);
}

void LinearMemory::drop_page(GuestVirtual address) {
  if (large_regions_.test(address.value() >> kLargeRegionShift)) {
    drop_region(address);
    return;
  }
  for (TlbTable& table : tlb_) {
    TlbEntry& entry = table[GuestVirtualPage::of(address).number() % kTlbEntries];
    if (((entry.tag ^ address.value()) & ~(kPageSize - 1)) == 0) entry = TlbEntry();
  }
}

// Drops small pages of the region as well; forgetting more than asked is always allowed.
void LinearMemory::drop_region(GuestVirtual address) {
  uint32_t region = address.value() >> kLargeRegionShift;
  large_regions_.reset(region);
  for (TlbTable& table : tlb_) {
    for (TlbEntry& entry : table) {
      if (entry.tag >> kLargeRegionShift == region) entry = TlbEntry();
    }
  }
}

void LinearMemory::flush_physical_page(GuestPhysicalPage page) {
  GuestPhysical base = physical_.masked(page.address());
  for (TlbTable& table : tlb_) {
    for (TlbEntry& entry : table) {
      if (entry.physical == base) entry = TlbEntry();
    }
  }
}

void LinearMemory::verify_invariants() const {
  for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
    const size_t table =
        static_cast<size_t>(AccessKind::Write) * 2 + static_cast<size_t>(privilege);
    for (const TlbEntry& entry : tlb_[table]) {
      const GuestPhysicalPage page = GuestPhysicalPage::of(entry.physical);
      const bool is_current = (entry.tag & (kPageSize - 1)) == generation_;
      if (!is_current || entry.host == nullptr || !physical_.is_ram(page)) continue;
      CHECK(physical_.may_write_unseen(page));
    }
  }
}

PagingMode LinearMemory::paging_mode() const {
  PagingMode mode;
  mode.paging = (state_.cr0 & kCr0Pg) != 0;
  mode.pae = (state_.cr4 & kCr4Pae) != 0;
  mode.pse = (state_.cr4 & kCr4Pse) != 0;
  mode.global = (state_.cr4 & kCr4Pge) != 0;
  mode.write_protect = (state_.cr0 & kCr0Wp) != 0;
  mode.no_execute = mode.pae && (state_.efer & kEferNxe) != 0;
  mode.cr3 = state_.cr3;
  mode.pdpte = state_.pdpte;
  return mode;
}

}  // namespace ringshift

// LinearMemory: the guest's linear address space as the virtual CPU reads and writes it in
// software. Owns: a small software TLB. Does not own: page tables, RAM, windows. All checks of SDM
// 3A 4.6; A and D set. Keeps: M2 (through PhysicalMemory). A fault is returned before any byte has
// been changed.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/base/guest_fault.h"
#include "shadowmmu/base/host_bytes.h"
#include "shadowmmu/paging_mode.h"
#include "translator/guest_state.h"

namespace ringshift {

class LinearMemory {
 public:
  LinearMemory(PhysicalMemory& physical, const GuestState& state)
      : physical_(physical), state_(state) {}

  // length: 1..4096 bytes, may cross one page boundary; linear addresses wrap at 4 GiB.
  [[nodiscard]] MaybeFault read(GuestVirtual address, void* bytes, uint32_t length,
                                Privilege privilege) {
    if (const uint8_t* host = cached(address, length, AccessKind::Read, privilege)) [[likely]] {
      load_bytes(bytes, host, length);
      return kNoFault;
    }
    return read_slowly(address, bytes, length, privilege);
  }
  [[nodiscard]] MaybeFault write(GuestVirtual address, const void* bytes, uint32_t length,
                                 Privilege privilege) {
    if (uint8_t* host = cached(address, length, AccessKind::Write, privilege)) [[likely]] {
      store_bytes(host, bytes, length);
      return kNoFault;
    }
    return write_slowly(address, bytes, length, privilege);
  }
  // Would a write succeed? Sets A and D as the write itself would (read-modify-write instructions
  // check the write before they read: SDM 3A 4.6).
  [[nodiscard]] MaybeFault probe_write(GuestVirtual address, uint32_t length, Privilege privilege) {
    return probe(address, length, AccessKind::Write, privilege);
  }
  [[nodiscard]] MaybeFault probe_read(GuestVirtual address, uint32_t length, Privilege privilege) {
    return probe(address, length, AccessKind::Read, privilege);
  }
  // Instruction fetch: reads up to `length` bytes at `address`, stopping before a page that faults.
  // *fetched tells how many. The fault is returned only if not even one byte could be read.
  [[nodiscard]] MaybeFault fetch(GuestVirtual address, void* bytes, uint32_t length,
                                 Privilege privilege, uint32_t* fetched);
  // The bytes at `address` in place, if `length` of them lie in one page of RAM whose translation
  // for fetching is cached; otherwise null, and fetch() says why.
  [[nodiscard]] const uint8_t* cached_code(GuestVirtual address, uint32_t length,
                                           Privilege privilege) {
    return cached(address, length, AccessKind::Fetch, privilege);
  }
  // Guest-physical address of one linear byte for this access, walking if need be. A20 applied.
  [[nodiscard]] MaybeFault translate(GuestVirtual address, AccessKind access, Privilege privilege,
                                     GuestPhysical* physical);

  template <typename T>
  [[nodiscard]] MaybeFault read_value(GuestVirtual address, Privilege privilege, T* value) {
    return read(address, value, sizeof(T), privilege);
  }
  template <typename T>
  [[nodiscard]] MaybeFault write_value(GuestVirtual address, Privilege privilege, T value) {
    return write(address, &value, sizeof(T), privilege);
  }

  // Forgets cached translations (CR0/CR4/EFER or A20 change), those that are not global (CR3 load
  // with CR4.PGE set) or those of one page (INVLPG).
  void flush();
  void flush_all_but_global();
  void flush_page(GuestVirtual address);
  // A page has become watched or unwatched: fast paths that were cached for it are forgotten.
  void flush_physical_page(GuestPhysicalPage page);

  // No entry lets a page be written that is watched, or that RAM's base has.
  void verify_invariants() const;

  [[nodiscard]] PagingMode paging_mode() const;
  [[nodiscard]] PhysicalMemory& physical() { return physical_; }

 private:
  // Tag bits below the page address. The generation makes a flush one addition: entries of earlier
  // generations match nothing. kTagNoHost makes the inline hit test fail on an entry that may be
  // used only by way of PhysicalMemory, so that one comparison decides.
  static constexpr uint32_t kTagEmpty = 1U << 0;
  static constexpr uint32_t kTagNoHost = 1U << 1;
  static constexpr uint32_t kTagGenerationStep = 1U << 2;
  struct TlbEntry {
    uint32_t tag = kTagEmpty;  // page address | generation | flags
    uint8_t* host = nullptr;   // RAM bytes of the page; null with kTagNoHost
    GuestPhysical physical;    // page base, A20 applied
  };
  static constexpr size_t kTlbEntries = 256;
  using TlbTable = std::array<TlbEntry, kTlbEntries>;

  [[nodiscard]] TlbEntry& slot(GuestVirtual address, AccessKind access, Privilege privilege) {
    size_t table = static_cast<size_t>(access) * 2 + static_cast<size_t>(privilege);
    return tlb_[table][GuestVirtualPage::of(address).number() % kTlbEntries];
  }
  [[nodiscard]] uint32_t tag_of(GuestVirtual address) const {
    return address.page_base().value() | generation_;
  }
  // Host bytes of a range that lies in one page of RAM whose translation for this access is cached;
  // otherwise null.
  [[nodiscard]] uint8_t* cached(GuestVirtual address, uint32_t length, AccessKind access,
                                Privilege privilege) {
    const TlbEntry& entry = slot(address, access, privilege);
    if (entry.tag != tag_of(address) || length > kPageSize - address.offset_in_page()) {
      return nullptr;
    }
    return entry.host + address.offset_in_page();
  }

  [[nodiscard]] MaybeFault read_slowly(GuestVirtual address, void* bytes, uint32_t length,
                                       Privilege privilege);
  [[nodiscard]] MaybeFault write_slowly(GuestVirtual address, const void* bytes, uint32_t length,
                                        Privilege privilege);
  [[nodiscard]] MaybeFault probe(GuestVirtual address, uint32_t length, AccessKind access,
                                 Privilege privilege);
  [[nodiscard]] MaybeFault fill(GuestVirtual address, AccessKind access, Privilege privilege);
  [[nodiscard]] uint8_t* host_page(GuestPhysicalPage page, AccessKind access);
  void drop_page(GuestVirtual address);
  void drop_region(GuestVirtual address);

  PhysicalMemory& physical_;
  const GuestState& state_;
  uint32_t generation_ = 0;        // in units of kTagGenerationStep, below kPageSize
  std::array<TlbTable, 6> tlb_{};  // one table per access kind and privilege
  // The 4 MiB regions with entries cut out of a large page: INVLPG drops all of such a page,
  // whichever of its addresses it names (SDM 3A 4.10.4.1).
  std::bitset<1024> large_regions_;
  // Entries filled with translations that are not global, some of them others by now.
  static constexpr size_t kMostLocal = 512;  // beyond that a flush takes all
  std::vector<TlbEntry*> local_;
};

}  // namespace ringshift

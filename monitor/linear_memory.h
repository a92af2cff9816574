// LinearMemory: the guest's linear address space as the virtual CPU reads and writes it in software.
// Owns: a small software TLB. Does not own: page tables, RAM, windows.
// Called by: interpreter, segmentation, event delivery, exit handlers. All checks of SDM 3A 4.6; A and D set.
// Keeps: M2 (through PhysicalMemory). A fault is returned before any byte has been changed.
#pragma once

#include <array>
#include <cstdint>

#include "monitor/physical_memory.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/base/guest_fault.h"
#include "shadowmmu/paging_mode.h"
#include "translator/guest_state.h"

namespace ringshift {

class LinearMemory {
 public:
  LinearMemory(PhysicalMemory& physical, const GuestState& state)
      : physical_(physical), state_(state) {}

  // length: 1..4096 bytes, may cross one page boundary; linear addresses wrap at 4 GiB.
  [[nodiscard]] MaybeFault read(GuestVirtual address, void* bytes, uint32_t length,
                                Privilege privilege);
  [[nodiscard]] MaybeFault write(GuestVirtual address, const void* bytes, uint32_t length,
                                 Privilege privilege);
  // Would a write succeed? Sets A and D as the write itself would (read-modify-write instructions
  // check the write before they read: SDM 3A 4.6).
  [[nodiscard]] MaybeFault probe_write(GuestVirtual address, uint32_t length, Privilege privilege);
  [[nodiscard]] MaybeFault probe_read(GuestVirtual address, uint32_t length, Privilege privilege);
  // Instruction fetch: reads up to `length` bytes at `address`, stopping before a page that faults.
  // *fetched tells how many. The fault is returned only if not even one byte could be read.
  [[nodiscard]] MaybeFault fetch(GuestVirtual address, void* bytes, uint32_t length,
                                 Privilege privilege, uint32_t* fetched);
  // Guest-physical address of one linear byte for this access, walking if need be.
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

  // Forgets cached translations (CR3 load, CR0/CR4/EFER change) or those of one page (INVLPG).
  void flush();
  void flush_page(GuestVirtual address);
  // A page has become watched or unwatched: fast paths that were cached for it are forgotten.
  void flush_physical_page(GuestPhysicalPage page);

  [[nodiscard]] PagingMode paging_mode() const;
  [[nodiscard]] PhysicalMemory& physical() { return physical_; }

 private:
  struct TlbEntry {
    uint32_t tag = 1;           // page address | privilege<<1 | access bits; 1 = empty (never aligned)
    uint8_t* host = nullptr;    // RAM bytes of the page, or null: go through PhysicalMemory
    GuestPhysical physical;     // page base
  };
  static constexpr size_t kTlbEntries = 256;
  [[nodiscard]] MaybeFault lookup(GuestVirtual address, AccessKind access, Privilege privilege,
                                  TlbEntry** entry);
  PhysicalMemory& physical_;
  const GuestState& state_;
  std::array<std::array<TlbEntry, kTlbEntries>, 6> tlb_{};  // one table per access kind and privilege
};

}  // namespace ringshift

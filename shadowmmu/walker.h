// Walker: (PagingMode, GuestVirtual, access) -> Translation or GuestFault, by the book (SDM 3A
// 4.3-4.7). Pure but for one thing: on success it sets A (and D on a write) through `memory`.
// Keeps: M3 (D before writable).
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/guest_fault.h"
#include "shadowmmu/paging_mode.h"

namespace ringshift {

// How the walker reads and updates page-table entries. Supplied by PhysicalMemory; reads outside
// RAM answer all ones, as an unclaimed bus read does.
class PageTableMemory {
 public:
  virtual ~PageTableMemory() = default;
  [[nodiscard]] virtual uint32_t read_entry32(GuestPhysical address) = 0;
  [[nodiscard]] virtual uint64_t read_entry64(GuestPhysical address) = 0;
  // Sets A/D bits (only): ORs `bits` into the entry. Traces of code see it, those of page tables do
  // not: what is kept of a table leaves A and D out.
  virtual void set_entry_bits(GuestPhysical address, uint32_t bits) = 0;
  // The address that an access to `address` reaches: the A20 gate may clear a bit of it.
  [[nodiscard]] virtual GuestPhysical masked(GuestPhysical address) const = 0;
  // The bytes of the 4 KiB table at `address`, a page's first; null where there is no RAM.
  [[nodiscard]] virtual const uint8_t* table_bytes(GuestPhysical address) const = 0;
};

// The place of a page-table entry; kept so that A can be checked at every level.
struct TableEntryLocation {
  GuestPhysical address;
  uint64_t value = 0;
};

struct Translation {
  GuestPhysical physical;      // of the byte asked for
  uint32_t page_bytes = 4096;  // 4 KiB, 2 MiB or 4 MiB: size of the guest page it lies in
  bool writable = false;       // for the privilege asked, honouring CR0.WP, disregarding D
  bool writable_user = false;  // R/W of every level (for CPL 3, if `user`)
  bool user = false;           // U/S of every level
  bool executable = true;      // NX clear at every level (or NX off)
  bool dirty = false;          // D of the leaf (after this walk)
  bool global = false;         // G of the leaf and CR4.PGE
  uint8_t levels = 0;          // how many of `entries` are set; 0 when paging is off
  std::array<TableEntryLocation, 2> entries{};  // [0] directory entry, [1] table entry
};

struct WalkResult {
  Translation translation;  // meaningful when !fault
  MaybeFault fault;
};

// Walks and, on success, sets accessed and dirty bits as the processor does. A fault sets none.
[[nodiscard]] WalkResult walk(const PagingMode& mode, PageTableMemory& memory, GuestVirtual address,
                              AccessKind access, Privilege privilege);

// The same without touching A/D: for debuggers, tracing and code that only looks.
[[nodiscard]] WalkResult probe(const PagingMode& mode, PageTableMemory& memory,
                               GuestVirtual address, AccessKind access, Privilege privilege);

}  // namespace ringshift

// GuestTables: the guest's page tables as they translate now: the paging mode, the memory that the
// tables lie in, the A20 gate. Owns: the mode. Every guest-physical address that comes out of here
// has passed the A20 gate. The formats of table entries are known here and in the walker only. SDM
// 3A 4.3 to 4.7.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"
#include "shadowmmu/table_traces.h"
#include "shadowmmu/walker.h"

namespace ringshift {

class GuestTables {
 public:
  explicit GuestTables(PageTableMemory& memory) : memory_(memory) {}

  // Wiring, once: tables that are traced need not be hashed. Without it none is.
  void attach(TableTraces& traces) { traces_ = &traces; }

  void set_mode(const PagingMode& mode) { mode_ = mode; }
  [[nodiscard]] const PagingMode& mode() const { return mode_; }

  // Translates as an access by the guest does: sets A, and D on a write.
  [[nodiscard]] WalkResult walk(GuestVirtual address, AccessKind access, Privilege privilege) const;
  // The same without touching A and D.
  [[nodiscard]] WalkResult probe(GuestVirtual address, AccessKind access,
                                 Privilege privilege) const;
  // Has the guest used every entry of this translation (A set)? Then a translation may be held
  // without an access of the guest's: the processor may have cached it too (SDM 3A 4.10.2.3).
  [[nodiscard]] static bool is_accessed(const Translation& translation);

  // The tables behind a region as one number. 0: it cannot be told whether they have
  // changed.
  [[nodiscard]] uint64_t hash(Region region) const { return number(region, Untraced::Hash); }
  // The same where it costs no look at a whole table, because all of them are traced, or there is
  // none; otherwise 0.
  [[nodiscard]] uint64_t stamp(Region region) const { return number(region, Untraced::Unknown); }
  // The same of the page's region, for a translation that has just been found, with A set by now.
  [[nodiscard]] uint64_t stamp(GuestVirtualPage page, const Translation& translation) const;
  // A hash of the page table's contents, with which a trace of it begins; 0 if the table is not in
  // RAM.
  [[nodiscard]] uint64_t content(GuestPhysicalPage table) const;
  // The page tables behind a region.
  struct Tables {
    std::array<TableLink, 2> links;
    uint32_t count = 0;
  };
  [[nodiscard]] Tables tables_behind(Region region) const;
  // Does the directory entry still lead to the table?
  [[nodiscard]] bool is_linked(const TableLink& link) const;
  // Does a directory entry of the region let user code through? (A table entry may still not.)
  [[nodiscard]] bool has_user_pages(Region region) const;

 private:
  enum class Untraced : uint8_t { Hash, Unknown };
  // The entries of the directory that a region has: one, or two wide ones; none if the pointer to
  // the directory is not present.
  struct Entries {
    GuestPhysical first;
    uint32_t count = 0;
    uint32_t bytes = 0;  // of each
  };
  [[nodiscard]] Entries entries_of(Region region) const;
  [[nodiscard]] uint64_t read_entry(GuestPhysical address, uint32_t bytes) const;
  // The page table that an entry of a directory leads to, if it does.
  [[nodiscard]] std::optional<GuestPhysicalPage> table_of(uint64_t entry) const;
  [[nodiscard]] uint64_t number(Region region, Untraced untraced) const;
  [[nodiscard]] uint64_t number_of_entry(uint64_t entry, Untraced untraced) const;

  PageTableMemory& memory_;
  TableTraces* traces_ = nullptr;
  PagingMode mode_;
};

}  // namespace ringshift

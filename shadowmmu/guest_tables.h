// GuestTables: the guest's page tables as they translate now: the paging mode, the memory that the
// tables lie in, the A20 gate. Owns: the mode. Every guest-physical address that comes out of here
// has passed the A20 gate. The formats of table entries are known here and in the walker only. SDM
// 3A 4.3 to 4.7.
#pragma once

#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"
#include "shadowmmu/walker.h"

namespace ringshift {

class GuestTables {
 public:
  explicit GuestTables(PageTableMemory& memory) : memory_(memory) {}

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
  [[nodiscard]] uint64_t hash(Region region) const;
  // Does a directory entry of the region let user code through? (A table entry may still not.)
  [[nodiscard]] bool has_user_pages(Region region) const;

 private:
  [[nodiscard]] uint64_t hash_directory_entry(uint64_t entry) const;

  PageTableMemory& memory_;
  PagingMode mode_;
};

}  // namespace ringshift

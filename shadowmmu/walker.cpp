#include "shadowmmu/walker.h"

#include "shadowmmu/table_entry.h"

namespace ringshift {
namespace {

constexpr uint64_t bits(unsigned high, unsigned low) {
  return ((uint64_t{2} << high) - 1) & ~((uint64_t{1} << low) - 1);
}

// The differences between the two formats, once the directory is known.
struct Format {
  uint32_t entry_bytes;
  unsigned directory_shift;  // the linear-address bit where the directory index starts
  uint32_t index_mask;       // entries in a table, less one
  bool large_pages;
  uint64_t frame;           // address bits of any entry that points to a table or 4 KiB page
  uint64_t reserved;        // must be zero in every entry
  uint64_t reserved_large;  // must be zero in a large directory entry, besides
};

// Bits 21:13 of a 4 MiB entry are address bits only where PSE-36 is offered, which it is not
// (SDM 3A table 4-4); bit 12 is PAT.
constexpr Format two_level_format(bool pse) {
  return {4, 22, 0x3ff, pse, bits(31, 12), 0, bits(21, 13)};
}

// MAXPHYADDR is 36 (SDM 3A tables 4-9 to 4-11). Without NXE the NX bit is one more reserved bit.
constexpr Format pae_format(bool no_execute) {
  uint64_t reserved = bits(62, 36) | (no_execute ? 0 : kEntryNoExecute);
  return {8, 21, 0x1ff, true, bits(35, 12), reserved, bits(20, 13)};
}

uint32_t fault_code(const PagingMode& mode, AccessKind access, Privilege privilege) {
  uint32_t code = 0;
  if (access == AccessKind::Write) code |= kPageFaultWrite;
  if (privilege == Privilege::User) code |= kPageFaultUser;
  // I/D is defined only when no-execute is on (SDM 3A 4.7).
  if (access == AccessKind::Fetch && mode.no_execute) code |= kPageFaultFetch;
  return code;
}

WalkResult identity(GuestVirtual address) {
  Translation translation;
  translation.physical = GuestPhysical(address.value());
  translation.writable = true;
  translation.writable_user = true;
  translation.user = true;
  translation.dirty = true;
  return {translation, kNoFault};
}

// One walk: the entries in the order in which the processor reads them, then the rights.
class Walk {
 public:
  Walk(const PagingMode& mode, PageTableMemory& memory, GuestVirtual address, AccessKind access,
       Privilege privilege)
      : mode_(mode),
        memory_(memory),
        address_(address),
        access_(access),
        privilege_(privilege),
        format_(mode.pae ? pae_format(mode.no_execute) : two_level_format(mode.pse)) {}

  [[nodiscard]] WalkResult run() {
    GuestPhysical directory;
    MaybeFault fault = find_directory(&directory);
    if (!fault) fault = walk_tables(directory);
    if (!fault) {
      gather_rights();
      fault = check_rights();
    }
    return {translation_, fault};
  }

 private:
  [[nodiscard]] MaybeFault raise(uint32_t why) const {
    return GuestFault::page_fault(address_.value(), why | fault_code(mode_, access_, privilege_));
  }

  [[nodiscard]] MaybeFault find_directory(GuestPhysical* directory) const {
    if (!mode_.pae) {
      *directory = GuestPhysical(mode_.cr3 & format_.frame);
      return kNoFault;
    }
    // Reserved bits were checked when the register was loaded (SDM 3A 4.4.1).
    uint64_t pointer = mode_.pdpte[address_.value() >> 30];
    if ((pointer & kEntryPresent) == 0) return raise(0);
    *directory = GuestPhysical(pointer & format_.frame);
    return kNoFault;
  }

  [[nodiscard]] MaybeFault walk_tables(GuestPhysical directory) {
    RETURN_IF_FAULT(read_entry(directory, format_.directory_shift));
    uint64_t entry = translation_.entries[0].value;
    uint32_t page_bytes = kPageSize;
    if (format_.large_pages && (entry & kEntryLarge) != 0) {
      if ((entry & format_.reserved_large) != 0)
        return raise(kPageFaultPresent | kPageFaultReserved);
      page_bytes = 1U << format_.directory_shift;
    } else {
      RETURN_IF_FAULT(read_entry(GuestPhysical(entry & format_.frame), 12));
      entry = translation_.entries[1].value;
    }
    uint64_t offset_mask = page_bytes - 1;
    translation_.page_bytes = page_bytes;
    translation_.physical =
        GuestPhysical((entry & format_.frame & ~offset_mask) | (address_.value() & offset_mask));
    return kNoFault;
  }

  // Reads the next entry: the one of `table` that the linear-address bits from `shift` on select.
  [[nodiscard]] MaybeFault read_entry(GuestPhysical table, unsigned shift) {
    uint32_t index = (address_.value() >> shift) & format_.index_mask;
    TableEntryLocation& location = translation_.entries[translation_.levels++];
    location.address = table + index * format_.entry_bytes;
    location.value =
        mode_.pae ? memory_.read_entry64(location.address) : memory_.read_entry32(location.address);
    if ((location.value & kEntryPresent) == 0) return raise(0);
    if ((location.value & format_.reserved) != 0)
      return raise(kPageFaultPresent | kPageFaultReserved);
    return kNoFault;
  }

  void gather_rights() {
    uint64_t all = ~uint64_t{0};
    uint64_t any = 0;
    for (uint8_t level = 0; level < translation_.levels; ++level) {
      all &= translation_.entries[level].value;
      any |= translation_.entries[level].value;
    }
    uint64_t leaf = translation_.entries[translation_.levels - 1U].value;
    translation_.user = (all & kEntryUser) != 0;
    translation_.writable_user = (all & kEntryWritable) != 0;
    translation_.writable = privilege_ == Privilege::User
                                ? translation_.user && translation_.writable_user
                                : translation_.writable_user || !mode_.write_protect;
    translation_.executable = (any & kEntryNoExecute) == 0;
    translation_.dirty = (leaf & kEntryDirty) != 0;
    translation_.global = mode_.global && (leaf & kEntryGlobal) != 0;
  }

  // SDM 3A 4.6.1, without SMEP, SMAP and protection keys.
  [[nodiscard]] MaybeFault check_rights() const {
    bool allowed = privilege_ == Privilege::Supervisor || translation_.user;
    if (access_ == AccessKind::Write) allowed = allowed && translation_.writable;
    if (access_ == AccessKind::Fetch) allowed = allowed && translation_.executable;
    return allowed ? MaybeFault(kNoFault) : raise(kPageFaultPresent);
  }

  const PagingMode& mode_;
  PageTableMemory& memory_;
  GuestVirtual address_;
  AccessKind access_;
  Privilege privilege_;
  Format format_;
  Translation translation_;
};

// SDM 3A 4.8: A in every entry used, D in the leaf on a write.
void set_accessed_and_dirty(Translation& translation, PageTableMemory& memory, AccessKind access) {
  for (uint8_t level = 0; level < translation.levels; ++level) {
    TableEntryLocation& entry = translation.entries[level];
    bool leaf = level + 1 == translation.levels;
    uint32_t wanted = kEntryAccessed | (leaf && access == AccessKind::Write ? kEntryDirty : 0);
    if ((entry.value & wanted) == wanted) continue;
    memory.set_entry_bits(entry.address, wanted);
    entry.value |= wanted;
  }
  if (access == AccessKind::Write) translation.dirty = true;
}

}  // namespace

WalkResult probe(const PagingMode& mode, PageTableMemory& memory, GuestVirtual address,
                 AccessKind access, Privilege privilege) {
  if (!mode.paging) return identity(address);
  return Walk(mode, memory, address, access, privilege).run();
}

WalkResult walk(const PagingMode& mode, PageTableMemory& memory, GuestVirtual address,
                AccessKind access, Privilege privilege) {
  WalkResult result = probe(mode, memory, address, access, privilege);
  if (!result.fault) set_accessed_and_dirty(result.translation, memory, access);
  return result;
}

}  // namespace ringshift

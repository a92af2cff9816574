// SoftTlbs: the two soft TLBs and the sources of their entries, so that a flush takes no more than
// it has to. Owns: the sources (the TLBs are the frame's, read by generated code). SDM 3A 4.10.2.4
// (global pages), 4.10.4.1 (the effect of each instruction).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/bits.h"
#include "shadowmmu/paging_mode.h"
#include "shadowmmu/table_traces.h"
#include "translator/code_bytes.h"
#include "translator/frame.h"

namespace ringshift {

class SoftTlbs {
 public:
  struct Fill {
    GuestVirtualPage page;
    uint64_t host_page = 0;  // host address of its first byte
    bool may_write = false;
    bool is_global = false;
    bool is_large = false;  // it is part of a guest page larger than 4 KiB
    // The page may not be written plainly; it is traced as a page table only, so a store that
    // leaves a mark may write it. Supervisor code only.
    bool may_mark = false;
    uint64_t stamp = 0;  // GuestTables::stamp of its region
    // It may not be written plainly, but bytes of it that are none of these. Null: none may.
    const CodeBytes* code = nullptr;
  };

  void attach(Frame* frame) { frame_ = frame; }
  // ram: the host address of RAM, which all host pages here lie in.
  void attach(TableTraces& tables, uint64_t ram) {
    tables_ = &tables;
    ram_ = ram;
  }
  // Is the page there, for this access?
  [[nodiscard]] bool holds(GuestVirtualPage page, bool is_write, Privilege privilege) const;
  void fill(const Fill& fill, Privilege privilege);
  // Accesses to the rest of the page are served, except to its watched part (both in that page), in
  // place of the last such page. T5: by the stubs, where the TLB misses.
  void fill_around(const Fill& fill, GuestVirtual first, GuestVirtual last, Privilege privilege);
  // Is the page served so, for this access?
  [[nodiscard]] bool holds_around(GuestVirtualPage page, bool is_write, Privilege privilege) const;

  // Is something held here, or near, that came from a guest page larger than 4 KiB?
  [[nodiscard]] bool has_large(GuestVirtualPage page) const {
    return large_regions_[Region::of(page).index()];
  }
  // Host pages that generated code may write to.
  template <typename Action>
  void for_each_writable(Action action) const {
    for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
      if (const WatchedPart& part = part_of(privilege); part.write_page != WatchedPart::kNone) {
        action(part.addend + part.write_page);
      }
      for (const SoftTlbEntry& entry : of(privilege)) {
        if (entry.negated_write_page == SoftTlbEntry{}.negated_write_page) continue;
        const GuestVirtualPage page(0U - entry.negated_write_page);
        action(entry.addend + page.address().value());
      }
    }
  }
  // Pages that are held so that stores may go beside code: with the host's page, and what generated
  // code goes by.
  template <typename Action>
  void for_each_beside_code(Action action) const {
    for (const Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
      for (uint32_t slot = 0; slot < kSoftTlbEntries; ++slot) {
        const SoftTlbEntry& entry = of(privilege)[slot];
        const uint64_t code = code_of(privilege, slot);
        if (code == 0 || entry.negated_read_page == SoftTlbEntry{}.negated_read_page) continue;
        const GuestVirtualPage page(0U - entry.negated_read_page);
        action(page, entry.addend + page.address().value(), code);
      }
    }
  }
  void flush();
  // A CR3 load with CR4.PGE set.
  void flush_all_but_global();
  // INVLPG.
  void flush_page(GuestVirtualPage page);
  // Every write to this page must be seen from now on.
  void forget_writes_to(uint64_t host_page);

  // Soft stores that have left a mark are told of. Before the tables' versions are asked for.
  void deliver_marks() {
    if (frame_->slots.tables_written != 0) [[unlikely]]
      deliver_all_marks();
  }

  // An entry that a CR3 load flushes, with the facts needed to put it back.
  struct Kept {
    SoftTlbEntry entry;
    uint64_t stamp = 0;
    Privilege privilege = Privilege::Supervisor;
    bool is_large = false;
    [[nodiscard]] GuestVirtualPage page() const {
      return GuestVirtualPage(0U - entry.negated_read_page);
    }
    // The page of RAM, as a host address.
    [[nodiscard]] uint64_t host_page() const { return entry.addend + page().address().value(); }
    [[nodiscard]] bool may_write() const {
      return entry.negated_write_page != SoftTlbEntry{}.negated_write_page;
    }
  };
  // Visits the entries that have a stamp.
  template <typename Action>
  void for_each_local(Action action) const {
    for_each_set(used_by_user_, [&](uint32_t slot) { act(slot, Privilege::User, action); });
    for_each_set(local_, [&](uint32_t slot) { act(slot, Privilege::Supervisor, action); });
  }
  // Puts the entry in force again, unless its place has been taken.
  void put_back(const Kept& kept);

 private:
  using Slots = std::array<uint64_t, kSoftTlbEntries / kWordBits>;  // a bit each
  template <typename Action>
  void act(uint32_t slot, Privilege privilege, Action action) const {
    const uint64_t stamp = stamps_[static_cast<size_t>(privilege)][slot];
    const SoftTlbEntry& entry = of(privilege)[slot];
    if (stamp == 0 || entry.negated_read_page == SoftTlbEntry{}.negated_read_page) return;
    Kept kept{entry, stamp, privilege, false};
    kept.is_large = has_large(kept.page());
    action(kept);
  }
  void fill_table(const Fill& fill);
  void drop_table(uint32_t slot);
  void deliver_all_marks();
  [[nodiscard]] SoftTlb& of(Privilege privilege) const {
    return privilege == Privilege::User ? frame_->user_tlb : frame_->supervisor_tlb;
  }

  [[nodiscard]] uint64_t& code_of(Privilege privilege, uint32_t slot) const {
    return frame_->code_bytes[static_cast<size_t>(privilege)][slot];
  }
  [[nodiscard]] WatchedPart& part_of(Privilege privilege) const {
    return frame_->watched_parts[static_cast<size_t>(privilege)];
  }

  Frame* frame_ = nullptr;
  TableTraces* tables_ = nullptr;
  uint64_t ram_ = 0;
  // Supervisor entries whose translation is not global. All of the user's may go.
  Slots local_{};
  Slots used_by_user_{};
  Slots used_by_tables_{};  // of Frame::table_tlb; and those of them that are not global
  Slots local_tables_{};
  std::array<std::array<uint64_t, kSoftTlbEntries>, 2> stamps_{};  // by privilege
  std::bitset<Region::kCount> large_regions_;                      // with parts of large pages held
};

}  // namespace ringshift

// SoftTlbs: what the translations in the two soft TLBs came from, so that a flush takes no more
// than it has to. Owns: that knowledge (the TLBs are the frame's, read by generated code). SDM 3A
// 4.10.2.4 (global pages), 4.10.4.1 (what each instruction flushes).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/bits.h"
#include "shadowmmu/paging_mode.h"
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
  };

  void attach(Frame* frame) { frame_ = frame; }
  // Is the page there, for this access?
  [[nodiscard]] bool holds(GuestVirtualPage page, bool is_write, Privilege privilege) const;
  void fill(const Fill& fill, Privilege privilege);
  // The page is served but for what is watched in it (both in that page), in place of the last one
  // that was. T5: by the stubs, where the TLB misses.
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
  void flush();
  // A CR3 load with CR4.PGE set.
  void flush_all_but_global();
  // INVLPG.
  void flush_page(GuestVirtualPage page);

 private:
  [[nodiscard]] SoftTlb& of(Privilege privilege) const {
    return privilege == Privilege::User ? frame_->user_tlb : frame_->supervisor_tlb;
  }

  [[nodiscard]] WatchedPart& part_of(Privilege privilege) const {
    return frame_->watched_parts[static_cast<size_t>(privilege)];
  }

  Frame* frame_ = nullptr;
  // Supervisor entries whose translation is not global, a bit each. All of the user's may go.
  std::array<uint64_t, kSoftTlbEntries / kWordBits> local_{};
  std::bitset<Region::kCount> large_regions_;  // with parts of large pages held
};

}  // namespace ringshift

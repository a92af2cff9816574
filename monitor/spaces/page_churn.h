// PageChurn: the pages that the guest maps anew again and again. A change of a host mapping costs
// far more than a soft miss, so windows leave such pages out, and the instructions that use them
// become soft. Owns: a table of the pages changed last, fixed in size; a page may be taken for
// another of its place, which costs time, not truth. See docs/shadow-mmu.md, "Pages that change".
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/base/address.h"

namespace ringshift {

class PageChurn {
 public:
  // A window held the page, and the guest has mapped another page there. space: CR3 of a user view,
  // kSupervisor for the supervisor's.
  void note_change(GuestVirtualPage page, uint32_t space) {
    Entry& entry = place_of(page, space);
    if (!entry.is_of(page, space)) entry = {page, space};
    entry.refusals = 0;
    if (entry.changes < kChangesOfChurn) ++entry.changes;
  }
  [[nodiscard]] bool is_churning(GuestVirtualPage page, uint32_t space) const {
    const Entry& entry = place_of(page, space);
    return entry.is_of(page, space) && entry.changes >= kChangesOfChurn;
  }
  // A window is to be filled with the page. True: it is to be left out. A page that is asked for
  // often without being changed churns no longer.
  [[nodiscard]] bool refuses(GuestVirtualPage page, uint32_t space) {
    if (!is_churning(page, space)) return false;
    Entry& entry = place_of(page, space);
    if (++entry.refusals < kRefusalsUntilBelieved) return true;
    entry = {};
    return false;
  }

  static constexpr uint32_t kSupervisor = 1;  // no CR3: its low bits are flags
  static constexpr uint32_t kChangesOfChurn = 4;
  static constexpr uint32_t kRefusalsUntilBelieved = 32;

 private:
  struct Entry {
    GuestVirtualPage page;
    uint32_t space = 0;
    uint32_t changes = 0;
    uint32_t refusals = 0;
    [[nodiscard]] bool is_of(GuestVirtualPage other, uint32_t other_space) const {
      return changes != 0 && page == other && space == other_space;
    }
  };
  static constexpr uint32_t kEntries = 2048;
  [[nodiscard]] static uint32_t index_of(GuestVirtualPage page, uint32_t space) {
    return (page.number() + space / kPageSize * 31) % kEntries;
  }
  [[nodiscard]] Entry& place_of(GuestVirtualPage page, uint32_t space) {
    return entries_[index_of(page, space)];
  }
  [[nodiscard]] const Entry& place_of(GuestVirtualPage page, uint32_t space) const {
    return entries_[index_of(page, space)];
  }

  std::array<Entry, kEntries> entries_{};
};

}  // namespace ringshift

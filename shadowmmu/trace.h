// TraceTable: the guest-physical pages that are write-traced, and the reasons. Owns: one byte a
// page of RAM. Does not own: the mappings that enforce it (shadow spaces, TLBs). Keeps: M1 M2. See
// docs/shadow-mmu.md.
#pragma once

#include <cstdint>
#include <vector>

#include "shadowmmu/base/address.h"

namespace ringshift {

enum class TraceReason : uint8_t {
  TranslatedCode = 1,  // fragments came from bytes of the page
  DirectCode = 2,      // a sandboxed process may execute the page
  PageTable = 4,       // the guest translates by it (table_traces.h)
};

class TraceTable {
 public:
  explicit TraceTable(uint64_t ram_bytes) : reasons_(ram_bytes / kPageSize, 0) {}
  // Pages beyond RAM are never traced: nothing is cached from them.
  [[nodiscard]] bool is_traced(GuestPhysicalPage page) const {
    return page.number() < reasons_.size() && reasons_[page.number()] != 0;
  }
  [[nodiscard]] bool is_traced_for(GuestPhysicalPage page, TraceReason reason) const {
    return page.number() < reasons_.size() &&
           (reasons_[page.number()] & static_cast<uint8_t>(reason)) != 0;
  }
  // For any reason but that it is a page table.
  [[nodiscard]] bool is_traced_for_code(GuestPhysicalPage page) const {
    constexpr auto kTable = static_cast<uint8_t>(TraceReason::PageTable);
    return page.number() < reasons_.size() && (reasons_[page.number()] & ~kTable) != 0;
  }
  // True if it was not traced for this reason before.
  bool add(GuestPhysicalPage page, TraceReason reason) {
    if (page.number() >= reasons_.size()) return false;
    uint8_t& bits = reasons_[page.number()];
    const bool is_new = !is_traced_for(page, reason);
    bits = static_cast<uint8_t>(bits | static_cast<uint8_t>(reason));
    return is_new;
  }
  void remove(GuestPhysicalPage page, TraceReason reason) {
    if (page.number() >= reasons_.size()) return;
    uint8_t& bits = reasons_[page.number()];
    bits = static_cast<uint8_t>(bits & ~static_cast<uint8_t>(reason));
  }

 private:
  std::vector<uint8_t> reasons_;
};

}  // namespace ringshift

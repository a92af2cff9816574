// CodeView: how one address space sees code: which guest-physical page each linear code page is,
// and the jump table from EIP to fragments. Owns: the page map and the table's memory. A view
// outlives CR3 loads; its entries are checked again after each guest TLB flush, before they are
// used. See docs/shadow-mmu.md.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "monitor/direct/direct_space.h"
#include "monitor/direct/user_policy.h"
#include "monitor/spaces/jump_table.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/shadow_space.h"

namespace ringshift {

struct CodePage {
  GuestPhysicalPage physical;
  bool is_global = false;  // its translation, when it was last looked at
};

struct CodeView {
  std::unordered_map<GuestVirtualPage, CodePage> pages;
  // The regions with pages cut out of a large one: INVLPG of any address in it drops them
  // all.
  std::bitset<Region::kCount> large_regions;
  // Those with pages, a bit each; also some that had.
  std::array<uint64_t, Region::kCount / 64> code_regions{};
  // Those with pages that are not global; also some that had.
  std::bitset<Region::kCount> local_regions;
  std::unique_ptr<JumpTable> jumps;
  // Hash of the guest tables behind a region when all we hold of it was last found true; 0: not
  // known, or something was added since. An equal hash saves walking for every page
  // (shadow-mmu.md).
  std::array<uint64_t, Region::kCount> verified_tables{};
  // User views begin without one, on soft accesses; those that keep working get one.
  std::unique_ptr<ShadowSpace> window;
  uint32_t id = 0;           // TranslationKey::view of its code; 0: it shares its code with others
  uint32_t ticks = 0;        // how often attention has found its translated code at work
  uint64_t work = 0;         // the cost of its soft accesses so far (AddressSpaces::note_user_work)
  uint64_t verified_in = 0;  // flush epoch in which all of `pages` were last checked
  uint64_t last_used = 0;
  // The process in which the view's code runs untranslated, if it does, and whether it should.
  std::unique_ptr<DirectSpace> direct;
  UserPolicy policy;
  // Pages that may not run untranslated, and how often that is believed before they are examined
  // again. Out of date it costs time, not truth.
  std::unordered_map<GuestVirtualPage, uint32_t> sensitive_pages;

  void note_code_in(Region region) {
    code_regions[region.index() / 64] |= uint64_t{1} << (region.index() % 64);
  }
  // Host memory it takes, at most.
  [[nodiscard]] size_t bytes() const;
};

}  // namespace ringshift

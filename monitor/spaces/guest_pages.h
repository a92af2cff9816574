// GuestPages: all facts about a guest-linear page at this moment, in one answer: the guest's
// tables, the A20 gate, RAM or not, traced or not. Every fill of a window, a soft TLB, a code view
// or a process begins here. See docs/shadow-mmu.md, "One miss".
#pragma once

#include <cstdint>
#include <optional>

#include "monitor/memory/physical_memory.h"
#include "shadowmmu/guest_tables.h"
#include "shadowmmu/shadow_space.h"
#include "shadowmmu/trace.h"

namespace ringshift {

// Guest pages of this size and more fill 2 MiB of linear space or a whole 4 MiB region.
inline constexpr uint32_t kSmallestLargePage = 2U << 20;

// A page of RAM that the guest's tables name.
struct GuestPage {
  Translation translation;
  GuestPhysicalPage physical;
  [[nodiscard]] bool is_large() const { return translation.page_bytes >= kSmallestLargePage; }
  // Is it mapped with its neighbours in one run: of a large page, or without paging?
  [[nodiscard]] bool is_in_large_piece() const { return is_large() || translation.levels == 0; }
  // May a holder of this page write to it, as far as the guest is concerned (M3), while CR0.WP is
  // as it is?
  [[nodiscard]] bool may_write() const { return translation.writable && translation.dirty; }
  // The same whatever CR0.WP is: holders of host mappings, which outlive a change of it.
  [[nodiscard]] bool may_write_always() const { return may_write() && translation.writable_user; }
};

struct GuestAccess {
  GuestVirtual address;
  AccessKind kind = AccessKind::Read;
  Privilege privilege = Privilege::Supervisor;
};
[[nodiscard]] constexpr AccessKind data_access(bool is_write) {
  return is_write ? AccessKind::Write : AccessKind::Read;
}

// A page that missed, and the run of pages to be mapped for it.
struct MissingPages {
  GuestPage page;
  ShadowRun run;
  // The access is a write to a page of the shared base. The page has become the machine's own for
  // it, and the mappings of it in `space` have followed.
  bool was_copied = false;
};

class GuestPages {
 public:
  GuestPages(const GuestTables& tables, PhysicalMemory& physical, const TraceTable& traces)
      : tables_(tables), physical_(physical), traces_(traces) {}

  // The page of an access by the guest, whose A and D bits are set. Nothing: the access faults, or
  // does not reach RAM.
  [[nodiscard]] std::optional<GuestPage> touch(const GuestAccess& access) const;
  // The page of an access that the guest may make, without setting A and D.
  [[nodiscard]] std::optional<GuestPage> look(const GuestAccess& access) const;

  // The page that a walk of the tables has come to, if it is RAM.
  [[nodiscard]] std::optional<GuestPage> in_ram(const WalkResult& result) const;

  // The one miss: an access of the guest's was not served by `space`. Returns the pages to map;
  // nothing if the access faults, does not reach RAM, or writes to a traced page or to one that
  // CR0.WP alone lets it write to: the interpreter does it. A page that is present already and
  // needs more rights comes alone, not with the large page around it. Sets neither A nor D: the
  // caller that maps the pages calls mark() first. A caller that leaves the access to the
  // interpreter does not call it: the interpreter has a TLB of its own, and the guest's tables must
  // not depend on who was asked before.
  [[nodiscard]] std::optional<MissingPages> miss(const GuestAccess& access,
                                                 const ShadowSpace& space) const;
  // A, and D for a write, of the tables behind an access that miss() or look() has allowed.
  void mark(const GuestAccess& access) const;

  // The run to map for `page` at `address`: a large page (or unpaged memory) in one piece, from its
  // start to the first page that is not RAM; if that leaves the address out, the one page.
  [[nodiscard]] ShadowRun run_around(GuestVirtual address, const GuestPage& page) const;
  // The run of the one page.
  [[nodiscard]] static ShadowRun run_of(GuestVirtual address, const GuestPage& page);

 private:
  [[nodiscard]] uint32_t ram_pages(GuestPhysicalPage first, uint32_t most) const;

  const GuestTables& tables_;
  PhysicalMemory& physical_;
  const TraceTable& traces_;
};

// Fills the run, or the one page of it if the run would take more of the host's mappings than there
// are. Pre: `page` is in the run. False: neither.
[[nodiscard]] bool fill_all_or_one(ShadowSpace& space, ShadowRun run, GuestVirtualPage page);
// Cuts the run down to this page of it.
void narrow_to(GuestVirtualPage page, ShadowRun* run);

}  // namespace ringshift

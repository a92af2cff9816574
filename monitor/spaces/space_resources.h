// SpaceResources: shared by the spaces of one processor: the guest's tables and pages as they are
// now, the soft TLBs, the pages a debugger watches, and how many of the host's mappings each space
// may take. Owns: all of it but memory and the watch. See docs/shadow-mmu.md.
#pragma once

#include <cstdint>

#include "monitor/memory/linear_memory.h"
#include "monitor/spaces/code_view.h"
#include "monitor/spaces/code_watch.h"
#include "monitor/spaces/guest_pages.h"
#include "monitor/spaces/page_churn.h"
#include "monitor/spaces/user/soft_tlbs.h"
#include "monitor/spaces/watched_pages.h"
#include "shadowmmu/guest_tables.h"
#include "shadowmmu/host_refusals.h"
#include "shadowmmu/shadow_space.h"

namespace ringshift {

// The guest decides how many mappings the spaces take, so the sum of those in our own
// process stays well below what the host allows. A sandboxed process has a limit of its own.
struct SpaceBudgets {
  ShadowBudget supervisor;
  ShadowBudget user;
  ShadowBudget direct;
};
inline constexpr uint32_t kUserWindows = 8;
[[nodiscard]] SpaceBudgets share_out_mappings(uint32_t most_mappings, HostRefusals* refusals);

struct SpaceResources {
  SpaceResources(LinearMemory& linear_memory, const GuestState& guest, CodeWatch& code_watch,
                 ShadowPolicy policy);
  SpaceResources(const SpaceResources&) = delete;
  SpaceResources& operator=(const SpaceResources&) = delete;

  LinearMemory& linear;
  PhysicalMemory& physical;
  const GuestState& state;
  CodeWatch& watch;
  HostRefusals refusals;  // none, unless a test asks for them
  const SpaceBudgets budgets;
  GuestTables tables;
  const GuestPages pages;
  SoftTlbs soft_tlbs;
  PageChurn churn;
  WatchedPages watched;

  // The tables behind the region as one number, if that is to be had without a look at them; 0: it
  // is not.
  [[nodiscard]] uint64_t stamp(Region region) {
    if (!keeps_entries()) return 0;
    soft_tlbs.deliver_marks();
    return tables.stamp(region);
  }
  // The same of the page's region, for a translation that has just been used.
  [[nodiscard]] uint64_t stamp(GuestVirtualPage page, const Translation& translation) {
    soft_tlbs.deliver_marks();
    return tables.stamp(page, translation);
  }
  [[nodiscard]] bool keeps_entries() const { return watch.tables().policy() != ShadowPolicy::Tlb; }
  // Call when a mapping that is true of the present tables was added to the view. The view's other
  // mappings of the region were true of the tables it was last verified against, which may be the
  // same.
  void note_added(CodeView& view, Region region) {
    uint64_t& verified = view.verified_tables[region.index()];
    if (verified != 0 && verified != stamp(region)) verified = 0;
  }
  // The page of RAM at this address of ours.
  [[nodiscard]] GuestPhysicalPage page_at(uint64_t host_page) const {
    return GuestPhysicalPage((host_page - ram_start()) / kPageSize);
  }
  [[nodiscard]] uint64_t ram_start() const {
    return reinterpret_cast<uint64_t>(physical.ram().at(GuestPhysical(0)));
  }

  // PageChurn's name of the space that this privilege's window belongs to.
  [[nodiscard]] uint32_t churn_space(Privilege privilege) const {
    return privilege == Privilege::Supervisor ? PageChurn::kSupervisor : state.cr3;
  }
};

}  // namespace ringshift

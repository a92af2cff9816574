// SpaceResources: what the spaces of one processor share: the guest's tables and pages as they are
// now, the soft TLBs, the pages a debugger watches, and how many of the host's mappings each space
// may take. Owns: all of it but memory and the watch. See docs/shadow-mmu.md.
#pragma once

#include <cstdint>

#include "monitor/memory/linear_memory.h"
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
  SpaceResources(LinearMemory& linear_memory, const GuestState& guest, CodeWatch& code_watch);
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

  // What PageChurn calls the space that this privilege's window belongs to.
  [[nodiscard]] uint32_t churn_space(Privilege privilege) const {
    return privilege == Privilege::Supervisor ? PageChurn::kSupervisor : state.cr3;
  }
};

}  // namespace ringshift

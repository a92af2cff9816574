#include "monitor/spaces/space_resources.h"

#include <algorithm>

#include "shadowmmu/host_mapping.h"

namespace ringshift {

SpaceBudgets share_out_mappings(uint32_t most_mappings, HostRefusals* refusals) {
  constexpr uint32_t kMostUseful = 1U << 20;
  const uint32_t most = std::min(most_mappings, kMostUseful);
  const uint32_t kept = 1024 + most / 8;
  const uint32_t shared = most > kept ? most - kept : 0;
  const auto user = static_cast<uint32_t>(shared / 14);
  const auto supervisor = static_cast<uint32_t>(shared - user * kUserWindows);
  return {.supervisor = {supervisor, 256 * 1024, refusals},
          .user = {user, 16 * 1024, refusals},
          .direct = {most - most / 8, 64 * 1024, refusals}};
}

SpaceResources::SpaceResources(LinearMemory& linear_memory, const GuestState& guest,
                               CodeWatch& code_watch, ShadowPolicy policy)
    : linear(linear_memory),
      physical(linear_memory.physical()),
      state(guest),
      watch(code_watch),
      budgets(share_out_mappings(most_host_mappings(), &refusals)),
      tables(physical),
      pages(tables, physical, code_watch.traces()) {
  // A traced page in the middle of a large one takes two mappings more.
  constexpr uint32_t kPartForTables = 16;
  watch.tables().set_policy(policy, budgets.supervisor.host_mappings / kPartForTables);
  watch.tables().set_is_linked([this](const TableLink& link) { return tables.is_linked(link); });
  tables.attach(watch.tables());
  soft_tlbs.attach(watch.tables(), ram_start());
}

}  // namespace ringshift

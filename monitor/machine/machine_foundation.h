// MachineFoundation: the objects that stay when a guest resets, because a confined process could
// not make them again: guest RAM, the processes that were forked with it, a file of the host's
// scheduler. Owns: these. Does not own: the contents that a life of the guest gives them. See
// docs/security.md, "The monitor itself".
#pragma once

#include <array>
#include <memory>

#include "monitor/direct/direct_process.h"
#include "monitor/host/time/run_delay.h"
#include "monitor/trap/tracee.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

struct MachineFoundation {
  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<DirectHost> direct_host;              // null: user code is translated
  std::array<std::shared_ptr<lab::Tracee>, 2> tracees;  // Engine::Trap only
  std::unique_ptr<RunDelay> run_delay;                  // of the vCPU thread; null: not known
};

}  // namespace ringshift

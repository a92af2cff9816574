// ProcessorState: the virtual CPU as it is saved and loaded: registers, FPU, memory types. Only
// caches that a flush of everything rebuilds hold copies of it (decision 0001); the state of line
// A20 is the board's. See docs/saved-state.md.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_model.h"
#include "monitor/cpu/memory_types.h"
#include "translator/guest_state.h"

namespace ringshift {

class StateArchive;

struct ProcessorState {
  GuestState& registers;
  MemoryTypes& memory_types;
  const CpuModel& model;
  // The host's time-stamp counter at which the guest stands still: the guest's own counter at that
  // moment is saved, and goes on from there.
  uint64_t host_time_stamp = 0;

  // Pre: no translated code is running. After loading, the caller flushes LinearMemory, and tells
  // the CoherenceObserver that the paging mode has changed.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);
};

}  // namespace ringshift

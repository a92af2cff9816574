// CpuContext: what one virtual CPU can reach, handed to every function that executes an
// instruction. Owns: nothing; references, put together by machine.cpp. Called by: interpreter,
// segmentation, event delivery, control registers.
#pragma once

#include <cstdint>

#include "devices/bus/bus.h"
#include "devices/interrupts/local_apic.h"
#include "monitor/cpu/cpu_model.h"
#include "monitor/cpu/memory_types.h"
#include "monitor/memory/linear_memory.h"
#include "translator/guest_state.h"

namespace ringshift {

// What changes of control state invalidate elsewhere (shadow windows, translations, key bits).
// Declared here because control_registers and the interpreter need it; implemented by the coherence
// layer. Each call comes after the state itself has been updated. LinearMemory is flushed by the
// caller, not by the implementation.
class CoherenceObserver {
 public:
  virtual ~CoherenceObserver() = default;
  virtual void on_cr3_loaded() = 0;  // MOV CR3, task switch: non-global translations die
  virtual void on_page_invalidated(GuestVirtual address) = 0;  // INVLPG: that page, globals too
  virtual void
  on_paging_mode_changed() = 0;  // CR0.PG/WP, CR4.PAE/PSE/PGE, EFER.NXE: everything dies
};

class TimeStampCounter {
 public:
  virtual ~TimeStampCounter() = default;
  // The guest's TSC now: host TSC plus GuestState::tsc_offset in a real run.
  [[nodiscard]] virtual uint64_t read() = 0;
};

struct CpuContext {
  GuestState& state;
  LinearMemory& memory;
  PortBus& ports;
  TimeStampCounter& tsc;
  CoherenceObserver& coherence;
  const CpuModel& model;
  LocalApic* apic = nullptr;  // null: there is none
  MemoryTypes memory_types{};
};

}  // namespace ringshift

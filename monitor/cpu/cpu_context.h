// CpuContext: the parts that one virtual CPU reaches, handed to every function that executes an
// instruction. References, put together by the processor.
#pragma once

#include <cstdint>

#include "devices/bus/bus.h"
#include "devices/chips/coprocessor_error.h"
#include "devices/interrupts/local_apic.h"
#include "monitor/cpu/cpu_model.h"
#include "monitor/cpu/hypervisor_interface.h"
#include "monitor/cpu/memory_types.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/memory/paging_observer.h"
#include "translator/guest_state.h"

namespace ringshift {

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
  PagingObserver& paging;
  const CpuModel& model;
  LocalApic* apic = nullptr;  // null: there is none
  MemoryTypes memory_types{};
  HypervisorInterface* hypervisor = nullptr;  // null: it has no registers
  CoprocessorError* x87_error = nullptr;      // null: FERR# and IGNNE# lead nowhere
};

}  // namespace ringshift

// Event delivery: exceptions and interrupts into the guest, through its IDT (or real-mode IVT). SDM
// 3A chapter 6: gates, stack switch, error codes, double and triple fault, V86. Keeps: V1.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

enum class EventKind : uint8_t {
  HardwareInterrupt,  // EXT in error codes; IF is checked by the caller
  Exception,          // faults, traps, aborts raised by an instruction (also DB traps, ICEBP)
  SoftwareInterrupt,  // INT n: gate DPL >= CPL
  SoftwareException,  // INT3, INTO: gate DPL >= CPL, no EXT
  Nmi,
};

struct Event {
  EventKind kind = EventKind::Exception;
  uint8_t vector = 0;
  bool has_error_code = false;
  uint32_t error_code = 0;
  uint32_t cr2 = 0;       // #PF: written to CR2
  uint32_t dr6_bits = 0;  // #DB: ORed into DR6
  Eip return_eip;         // pushed: of the faulting instruction, or the next one (traps, INT n)

  [[nodiscard]] static Event from_fault(const GuestFault& fault, Eip eip);
};

enum class DeliveryResult : uint8_t { Delivered, Shutdown /* triple fault: the machine resets */ };

// Delivers, escalating through #DF as SDM 3A table 6-5 says. Sets RF in the pushed image for
// faults. Wakes a halted CPU. Software INT n faults (e.g. gate DPL) are delivered as those faults,
// with the EIP of the INT instruction: `instruction_eip` (equals return_eip for everything else).
[[nodiscard]] DeliveryResult deliver(CpuContext& cpu, const Event& event, Eip instruction_eip);

}  // namespace ringshift

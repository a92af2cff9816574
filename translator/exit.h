// Exit: why translated code stopped, and where the guest is. The only thing the gate ever returns.
// Whether the code left by design or by a host signal, the handler sees one value. See
// docs/faults-and-exits.md.
#pragma once

#include <cstdint>

#include "shadowmmu/base/address.h"

namespace ringshift {

enum class ExitReason : uint32_t {
  Unlinked,      // a direct branch whose link is not made yet; `link` says which
  IndirectMiss,  // an indirect branch whose destination (eip) is not in the jump table
  Interpret,     // the instruction at eip is for the interpreter; no callout was to be had
  SoftMiss,      // a soft access missed its TLB; eip is at the instruction, `address` the linear
                 // address
  EnsureFpu,     // the fragment needs the guest's FPU state in the host's registers
  EventWindow,   // interrupts have just been enabled and one is waiting
  HostFault,     // a host signal inside translated code
  Callout,       // a callout has done the work; the state, EFLAGS included, is true
};

[[nodiscard]] const char* exit_reason_name(ExitReason reason);

// The record of a host signal (plain data: filled inside a signal handler).
struct HostFault {
  uint64_t host_pc = 0;
  uint64_t address = 0;  // si_addr: a host address, meaningful for page faults
  uint32_t signal = 0;
  uint32_t trap_number = 0;  // x86 exception vector as the kernel reports it
  bool is_write = false;
};

struct Exit {
  ExitReason reason = ExitReason::Interpret;
  Eip eip;                // registers and flags in GuestState belong to this boundary (T6)
  uint32_t link = 0;      // Unlinked: link number
  GuestVirtual address;   // SoftMiss
  bool is_write = false;  // SoftMiss
  HostFault fault;        // HostFault
};

}  // namespace ringshift

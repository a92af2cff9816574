// Exit: why translated code stopped, and where the guest is. The only thing the gate ever returns.
// Owns: nothing. Whether the code left by design or by a host signal, the handler sees one value.
// Called by: gate (makes), vcpu (consumes). See docs/faults-and-exits.md.
#pragma once

#include <cstdint>

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
  Callout,       // a callout has done what was to be done; the state, EFLAGS included, is true
  // Of code that ran untranslated:
  DirectFault,      // a page fault at `address`; perhaps only for the shadow
  DirectStep,       // EFLAGS.TF is set and one instruction has run: #DB is due
  DirectPreempted,  // attention; nothing happened
  DirectEscape,     // it did what no 32-bit user code may; state is as it was on entry
  DirectLost,       // its process was killed from outside
};

[[nodiscard]] const char* exit_reason_name(ExitReason reason);

// What a host signal leaves behind (plain data: filled inside a signal handler).
struct HostFault {
  uint64_t host_pc = 0;
  uint64_t address = 0;  // si_addr: a host address, meaningful for page faults
  uint32_t signal = 0;
  uint32_t trap_number = 0;  // x86 exception vector as the kernel reports it
  bool is_write = false;
};

struct Exit {
  ExitReason reason = ExitReason::Interpret;
  uint32_t eip = 0;   // guest EIP; registers and flags in GuestState belong to this boundary (T6)
  uint32_t link = 0;  // Unlinked: link number
  uint32_t address = 0;      // SoftMiss, DirectFault: linear address
  bool is_write = false;     // SoftMiss
  HostFault fault;           // HostFault
  uint64_t host_cycles = 0;  // untranslated code: how long it ran
};

}  // namespace ringshift

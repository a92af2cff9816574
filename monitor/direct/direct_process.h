// DirectProcess: a host process that holds nothing but guest user pages, in which guest CPL-3 code
// runs untranslated; and DirectHost, which makes them. Owns: the processes, each a
// SandboxedProcess. Does not own: guest RAM. The process is the wall: it has no host system call
// that does not pass through us (docs/security.md). Keeps: S1 S2.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "devices/bus/virtual_clock.h"
#include "monitor/direct/sandboxed_process.h"
#include "monitor/host/shared_cpu.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"
#include "translator/guest_state.h"
#include "translator/user_sensitivity.h"

namespace ringshift {

// Guest pages at their own linear addresses, and their removal.
[[nodiscard]] DirectCommand command_to_map(GuestVirtualPage at, GuestPhysicalPage from,
                                           uint32_t pages, HostAccess access);
[[nodiscard]] DirectCommand command_to_unmap(GuestVirtualPage at, uint32_t pages);
[[nodiscard]] DirectCommand command_to_protect(GuestVirtualPage at, HostAccess access);

// Why guest code in the process stopped. Except after Escaped and Gone the guest's registers are in
// the GuestState.
struct DirectStop {
  enum class Kind : uint8_t {
    PageFault,    // at `address`; state.eip is at the instruction
    Instruction,  // state.eip is at an instruction that is not the processor's to run
    SingleStep,   // EFLAGS.TF, set by the code itself: one instruction has run since
    Kicked,       // interrupt_traced_process() was called (or a signal came)
    Escaped,      // it left 32-bit mode, changed segments behind our back, or tried a host call
    Gone,         // the process was killed from outside
  };
  Kind kind = Kind::Kicked;
  GuestVirtual address;
};

// How RDTSC behaves in a process. A fault costs the host's kernel a write of CR4 at every
// switch between the process and its monitor.
enum class TimeStampTrap : uint8_t { Off, On };

class DirectProcess {
 public:
  DirectProcess(const DirectProcess&) = delete;
  DirectProcess& operator=(const DirectProcess&) = delete;

  // Carries the commands out, in order. False with one line in *error: the host refused one, or the
  // process is gone; the process's mappings are then unknown.
  [[nodiscard]] bool carry_out(std::span<const DirectCommand> commands, std::string* error) {
    return process_->carry_out(commands, error);
  }

  // Makes RDTSC fault in the process from now on, or answer with the host's counter. False with one
  // line in *error: the process is gone.
  [[nodiscard]] bool set_time_stamp_trap(TimeStampTrap trap, std::string* error);

  // Can the process be given these flags and FPU state exactly?
  [[nodiscard]] bool accepts(const GuestState& state) const;
  // Runs guest code from state.eip on until something stops it. Pre: accepts(state), flat CS, SS,
  // DS, ES, and FS and GS each flat but for the base, or null.
  [[nodiscard]] DirectStop run(GuestState* state);

  [[nodiscard]] pid_t id() const { return process_->id(); }
  [[nodiscard]] CpuPlacement& placement() { return placement_; }
  // The processor time it has used since this was asked last, in nanoseconds. 0: it is gone.
  [[nodiscard]] Nanoseconds take_processor_time();

 private:
  friend class DirectHost;
  explicit DirectProcess(std::unique_ptr<SandboxedProcess> process) : process_(std::move(process)) {
    placement_.confine = [this](const cpu_set_t& set) { return confine_to(set); };
  }
  [[nodiscard]] bool confine_to(const cpu_set_t& set);
  [[nodiscard]] bool load(const GuestState& state);
  [[nodiscard]] bool store(const user_regs_struct& registers, bool in_system_call,
                           GuestState* state);
  [[nodiscard]] bool peek(uint32_t address, uint8_t* byte) const;
  [[nodiscard]] bool step_back_over_system_call(GuestState* state) const;
  [[nodiscard]] bool step_back_over_breakpoint(GuestState* state) const;
  [[nodiscard]] DirectStop explain(int status, GuestState* state) const;

  std::unique_ptr<SandboxedProcess> process_;
  user_regs_struct loaded_{};
  uint32_t identification_flag_ = 0;  // EFLAGS.ID in the process, which we cannot set
  alignas(16) std::array<uint8_t, 512> fpu_{};
  bool fpu_known_ = false;
  TimeStampTrap time_stamp_trap_ = TimeStampTrap::Off;
  CpuPlacement placement_;
  Nanoseconds time_taken_ = 0;
};

// How CPUID of guest code in a process is kept from answering for the host.
enum class CpuidGuard : uint8_t {
  Auto,   // Fault where the host can, else Sweep
  Fault,  // the host kernel makes it fault
  Sweep,  // no page that holds its opcode runs directly
};

class DirectHost {
 public:
  // ram: descriptor of guest RAM. Null with one line in *error when this host has no 32-bit mode,
  // no ptrace or no seccomp for us, or cannot make CPUID fault and `guard` wants it to.
  static std::unique_ptr<DirectHost> create(int ram, CpuidGuard guard, std::string* error);
  DirectHost(const DirectHost&) = delete;
  DirectHost& operator=(const DirectHost&) = delete;

  // A new process with nothing mapped below 4 GiB. Null with one line in *error.
  [[nodiscard]] std::unique_ptr<DirectProcess> spawn(std::string* error);

  // The instructions that trap in its processes.
  [[nodiscard]] const HostTraps& traps() const { return traps_; }

 private:
  DirectHost() = default;
  [[nodiscard]] bool guard_cpuid(CpuidGuard guard, std::string* error);

  HostTraps traps_;
  // Forked from us while we were small, then emptied; every other process is forked from it.
  std::unique_ptr<SandboxedProcess> template_;
};

}  // namespace ringshift

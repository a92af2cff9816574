// Tracee: a host process that holds guest pages at their linear addresses and runs guest code in
// 32-bit compatibility mode, deprivileged, under ptrace. Owns: the process, which is a
// SandboxedProcess; every system call of the guest's stops before it happens. See docs/lab.md;
// Linux ptrace(2), PTRACE_SYSEMU.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "monitor/direct/sandboxed_process.h"

namespace ringshift::lab {

// Why the process stopped.
enum class TraceStop : uint8_t {
  PageFault,   // `address`; `present` if something is mapped there
  Exception,   // #GP, #UD, #DE and the like
  Stepped,     // one instruction, as asked for
  Breakpoint,  // #BP or #DB: EIP is after the instruction
  SystemCall,  // int 0x80, SYSENTER, SYSCALL: not made
  Tick,        // the host's clock
  Gone,        // the process has ended
};

class Tracee {
 public:
  // ram: the memfd of guest memory. Null with one line in *error.
  static std::unique_ptr<Tracee> create(int ram, std::string* error);
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;

  // One guest page, or none at all any more. False: the host refuses.
  [[nodiscard]] bool map(uint32_t linear, uint64_t ram_offset, bool writable);
  [[nodiscard]] bool unmap_all();

  // Runs from `registers` to the next stop, and leaves the process's registers there. One
  // instruction only if `single`.
  [[nodiscard]] TraceStop run(user_regs_struct* registers, user_fpregs_struct* fpu, bool single);
  [[nodiscard]] uint64_t address() const { return address_; }
  [[nodiscard]] bool present() const { return present_; }

 private:
  explicit Tracee(std::unique_ptr<SandboxedProcess> process) : process_(std::move(process)) {}
  [[nodiscard]] bool reaches_32_bit_code();
  [[nodiscard]] bool carry_out(const DirectCommand& command);
  [[nodiscard]] bool arm();
  [[nodiscard]] TraceStop classify(int status);

  std::unique_ptr<SandboxedProcess> process_;
  uint64_t address_ = 0;
  bool present_ = false;
  bool ticks_ = false;  // a tick is on its way
};

}  // namespace ringshift::lab

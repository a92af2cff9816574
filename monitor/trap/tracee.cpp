#include "monitor/trap/tracee.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cstring>

#include "monitor/direct/direct_sandbox.h"
#include "monitor/direct/traced.h"

namespace ringshift::lab {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFourGiB = uint64_t{1} << 32;
constexpr int kSystemCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr suseconds_t kTickMicroseconds = 2000;

}  // namespace

std::unique_ptr<Tracee> Tracee::create(int ram, std::string* error) {
  std::shared_ptr<CommandPage> page = CommandPage::create(error);
  if (page == nullptr) return nullptr;
  std::unique_ptr<SandboxedProcess> process =
      SandboxedProcess::start(ram, std::move(page), SandboxPolicy::Deprivileged, error);
  if (process == nullptr) {
    *error = "no process for deprivileged code: " + *error;
    return nullptr;
  }
  std::unique_ptr<Tracee> made(new Tracee(std::move(process)));
  if (made->reaches_32_bit_code()) return made;
  *error = "this host runs no 32-bit code (CS 0x23), so none can be deprivileged";
  return nullptr;
}

// Nothing is mapped where it is sent, so it faults there; where the host has no 32-bit code segment
// it does not come so far.
bool Tracee::reaches_32_bit_code() {
  constexpr uint64_t kNowhere = 0x100000;
  user_fpregs_struct fpu{};
  if (trace(PTRACE_GETFPREGS, process_->id(), nullptr, &fpu) != 0) return false;
  TraceStop stop = TraceStop::Tick;
  while (stop == TraceStop::Tick) {
    user_regs_struct registers = process_->idle();
    registers.cs = kUserCode32;
    registers.rip = kNowhere;
    stop = run(&registers, &fpu, false);
  }
  return stop == TraceStop::PageFault && address_ == kNowhere;
}

// A system call of ours, made by the process at its stub.
bool Tracee::carry_out(const DirectCommand& command) {
  std::string ignored;
  const bool done = process_->carry_out({&command, 1}, &ignored);
  if (process_->take_alarm()) ticks_ = false;
  return done;
}

bool Tracee::map(uint32_t linear, uint64_t ram_offset, bool writable) {
  const uint64_t rights = PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0U);
  DirectCommand command;
  command.number = SYS_mmap;
  command.arguments = {
      linear, kPage, rights, MAP_SHARED | MAP_FIXED, uint64_t{kDirectRamDescriptor}, ram_offset};
  return carry_out(command);
}

bool Tracee::unmap_all() {
  DirectCommand command;
  command.number = SYS_munmap;
  command.arguments = {0, kFourGiB};
  return carry_out(command);
}

TraceStop Tracee::classify(int status) {
  const int signal = WSTOPSIG(status);
  if (signal == kSystemCallStop) return TraceStop::SystemCall;
  if (signal == SIGALRM) {
    ticks_ = false;
    return TraceStop::Tick;
  }
  siginfo_t info{};
  trace(PTRACE_GETSIGINFO, process_->id(), nullptr, &info);
  if (signal == SIGTRAP) {
    return info.si_code == TRAP_TRACE ? TraceStop::Stepped : TraceStop::Breakpoint;
  }
  const bool is_page_fault =
      signal == SIGSEGV && (info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR);
  if (!is_page_fault) return TraceStop::Exception;
  address_ = reinterpret_cast<uint64_t>(info.si_addr);
  present_ = info.si_code == SEGV_ACCERR;
  return TraceStop::PageFault;
}

// The host's clock interrupts the guest, or a loop in it would keep the monitor out for ever. It is
// set anew after each tick: one that ran on while the monitor has its turn would leave the guest
// none. The length is stored behind the command.
bool Tracee::arm() {
  constexpr itimerval kTick{{0, 0}, {0, kTickMicroseconds}};
  DirectCommand& behind = process_->commands()[1];
  std::memcpy(static_cast<void*>(&behind), &kTick, sizeof(kTick));
  DirectCommand command;
  command.number = SYS_setitimer;
  command.arguments = {ITIMER_REAL, kDirectCommandsAddress + sizeof(DirectCommand), 0};
  while (!ticks_) {
    ticks_ = true;  // unless it runs out before the guest does
    if (!carry_out(command)) return false;
  }
  return true;
}

TraceStop Tracee::run(user_regs_struct* registers, user_fpregs_struct* fpu, bool single) {
  const auto request = single ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SYSEMU;
  const pid_t id = process_->id();
  int status = 0;
  registers->orig_rax = ~uint64_t{0};
  if (process_->is_gone() || !arm() || trace(PTRACE_SETREGS, id, nullptr, registers) != 0 ||
      trace(PTRACE_SETFPREGS, id, nullptr, fpu) != 0 || trace(request, id, nullptr, nullptr) != 0 ||
      !process_->wait_for_stop(&status) || trace(PTRACE_GETREGS, id, nullptr, registers) != 0 ||
      trace(PTRACE_GETFPREGS, id, nullptr, fpu) != 0) {
    return TraceStop::Gone;
  }
  return classify(status);
}

}  // namespace ringshift::lab

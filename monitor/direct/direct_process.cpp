#include "monitor/direct/direct_process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "monitor/direct/direct_sandbox.h"
#include "monitor/direct/traced.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

constexpr int kSystemCallStop = SIGTRAP | 0x80;

// The flags that ptrace can set, less those that guest code in a process may not have: the monitor
// handles TF and RF itself, and IF and IOPL are the processor's.
constexpr uint32_t kLoadedFlags = kFlagsArithmetic | kFlagDf | kFlagNt | kFlagAc;
// The flags that code at CPL 3 may have changed.
constexpr uint32_t kStoredFlags = kLoadedFlags | kFlagTf | kFlagId;

uint64_t null_or_data(const SegmentCache& segment) { return segment.usable() ? kUserData : 0; }

bool is_fault_signal(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
         signal == SIGTRAP;
}

}  // namespace

// The process does it itself, with the set behind the command: others' affinity is out of a
// confined monitor's reach.
bool DirectProcess::confine_to(const cpu_set_t& set) {
  constexpr size_t kSetAt = 1, kSetCommands = (sizeof(set) + sizeof(DirectCommand) - 1) / 64;
  DirectCommand command;
  command.number = SYS_sched_setaffinity;
  command.arguments = {0, sizeof(set), kDirectCommandsAddress + kSetAt * sizeof(DirectCommand)};
  std::memcpy(static_cast<void*>(process_->commands() + kSetAt), &set, sizeof(set));
  std::string ignored;
  const bool done = carry_out({&command, 1}, &ignored);
  std::memset(static_cast<void*>(process_->commands() + kSetAt), 0,
              kSetCommands * sizeof(DirectCommand));
  return done;
}

bool DirectProcess::set_time_stamp_trap(TimeStampTrap trap, std::string* error) {
  if (trap == time_stamp_trap_) return true;
  const int mode = trap == TimeStampTrap::On ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
  DirectCommand command;
  command.number = SYS_prctl;
  command.arguments = {PR_SET_TSC, static_cast<uint64_t>(mode)};
  time_stamp_trap_ = trap;
  return carry_out({&command, 1}, error);
}

Nanoseconds DirectProcess::take_processor_time() {
  const Nanoseconds now = process_->is_gone() ? 0 : HostClock::process_time(id());
  const Nanoseconds since = std::max<Nanoseconds>(now - time_taken_, 0);
  time_taken_ = std::max(time_taken_, now);
  return since;
}

bool DirectProcess::accepts(const GuestState& state) const {
  return ((state.eflags ^ identification_flag_) & kFlagId) == 0;
}

bool DirectProcess::load(const GuestState& state) {
  user_regs_struct& r = loaded_;
  r = process_->idle();
  r.rax = state.reg(Gpr::Eax);
  r.rcx = state.reg(Gpr::Ecx);
  r.rdx = state.reg(Gpr::Edx);
  r.rbx = state.reg(Gpr::Ebx);
  r.rsp = state.reg(Gpr::Esp);
  r.rbp = state.reg(Gpr::Ebp);
  r.rsi = state.reg(Gpr::Esi);
  r.rdi = state.reg(Gpr::Edi);
  r.rip = state.eip;
  r.eflags = (state.eflags & kLoadedFlags) | kFlagReservedOne | kFlagIf;
  r.cs = kUserCode32;
  r.ss = r.ds = r.es = kUserData;
  r.fs = null_or_data(state.seg(SegmentRegister::Fs));
  r.gs = null_or_data(state.seg(SegmentRegister::Gs));
  r.fs_base = r.fs != 0 ? state.seg(SegmentRegister::Fs).base : 0;
  r.gs_base = r.gs != 0 ? state.seg(SegmentRegister::Gs).base : 0;
  if (trace(PTRACE_SETREGS, id(), nullptr, &r) != 0) return false;
  if (fpu_known_ && fpu_ == state.fxsave) return true;
  fpu_known_ = trace(PTRACE_SETFPREGS, id(), nullptr, state.fxsave.data()) == 0;
  fpu_ = state.fxsave;
  return fpu_known_;
}

// False: the code did something this state cannot express, or that went unseen.
bool DirectProcess::store(const user_regs_struct& r, bool in_system_call, GuestState* state) {
  if (r.cs != kUserCode32 || r.ss != kUserData || r.ds != kUserData || r.es != kUserData ||
      r.fs != loaded_.fs || r.gs != loaded_.gs || r.fs_base != loaded_.fs_base ||
      r.gs_base != loaded_.gs_base || r.rip > UINT32_MAX) {
    return false;
  }
  if (trace(PTRACE_GETFPREGS, id(), nullptr, fpu_.data()) != 0) return false;
  fpu_known_ = true;
  state->fxsave = fpu_;
  state->reg(Gpr::Eax) = static_cast<uint32_t>(in_system_call ? r.orig_rax : r.rax);
  state->reg(Gpr::Ecx) = static_cast<uint32_t>(r.rcx);
  state->reg(Gpr::Edx) = static_cast<uint32_t>(r.rdx);
  state->reg(Gpr::Ebx) = static_cast<uint32_t>(r.rbx);
  state->reg(Gpr::Esp) = static_cast<uint32_t>(r.rsp);
  state->reg(Gpr::Ebp) = static_cast<uint32_t>(r.rbp);
  state->reg(Gpr::Esi) = static_cast<uint32_t>(r.rsi);
  state->reg(Gpr::Edi) = static_cast<uint32_t>(r.rdi);
  state->eip = static_cast<uint32_t>(r.rip);
  state->eflags =
      (state->eflags & ~kStoredFlags) | (static_cast<uint32_t>(r.eflags) & kStoredFlags);
  identification_flag_ = static_cast<uint32_t>(r.eflags) & kFlagId;
  return true;
}

// The byte at a linear address of the process; false: nothing readable is mapped there.
bool DirectProcess::peek(uint32_t address, uint8_t* byte) const {
  // By the aligned word, which never reaches into another page. Not the C library's function, whose
  // result may be an error or a word.
  constexpr uint32_t kWord = sizeof(uint64_t);
  uint64_t word = 0;
  if (syscall(SYS_ptrace, PTRACE_PEEKDATA, id(), uint64_t{address / kWord * kWord}, &word) != 0) {
    return false;
  }
  *byte = static_cast<uint8_t>(word >> (address % kWord * 8));
  return true;
}

// EIP is behind INT 0x80 or SYSCALL, or behind INT3, INT 3 or ICEBP (or at ICEBP: some hypervisors
// report it so): back to where it began. False: none of them is there.
bool DirectProcess::step_back_over_system_call(GuestState* state) const {
  constexpr uint8_t kIntImmediate = 0xcd;
  constexpr uint8_t kTwoByteOpcode = 0x0f;
  uint8_t first = 0;
  if (!peek(state->eip - 2, &first)) return false;
  if (first != kIntImmediate && first != kTwoByteOpcode) return false;
  state->eip -= 2;
  return true;
}

bool DirectProcess::step_back_over_breakpoint(GuestState* state) const {
  constexpr uint8_t kIntImmediate = 0xcd;
  constexpr uint8_t kBreakpoint = 3;
  constexpr uint8_t kInt3 = 0xcc;
  constexpr uint8_t kIcebp = 0xf1;
  uint8_t first = 0;
  uint8_t last = 0;
  if (!peek(state->eip - 1, &last)) return false;
  if (last == kInt3 || last == kIcebp) {
    state->eip -= 1;
    return true;
  }
  if (last == kBreakpoint && peek(state->eip - 2, &first) && first == kIntImmediate) {
    state->eip -= 2;
    return true;
  }
  return peek(state->eip, &first) && first == kIcebp;
}

DirectStop DirectProcess::explain(int status, GuestState* state) const {
  using Kind = DirectStop::Kind;
  const int signal = WSTOPSIG(status);
  if (signal == kSystemCallStop) {
    return {step_back_over_system_call(state) ? Kind::Instruction : Kind::Escaped, {}};
  }
  if (!is_fault_signal(signal) || (status >> 16) != 0) return {Kind::Kicked, {}};
  siginfo_t info{};
  if (trace(PTRACE_GETSIGINFO, id(), nullptr, &info) != 0) return {Kind::Gone, {}};
  // Sent by somebody, not by the processor.
  if (info.si_code <= 0) return {Kind::Kicked, {}};
  if (signal == SIGSEGV && info.si_code != SI_KERNEL) {
    const auto address = reinterpret_cast<uint64_t>(info.si_addr);
    // 32-bit code that reaches across 4 GiB: some processors go on there, others raise #GP
    // (LIMIT(L27)).
    constexpr uint64_t kEnd = uint64_t{UINT32_MAX} + 1, kLongestOperand = 512;
    if (address >= kEnd && address - kEnd < kLongestOperand) return {Kind::Instruction, {}};
    if (address >= kEnd) return {Kind::Escaped, {}};
    return {Kind::PageFault, GuestVirtual(static_cast<uint32_t>(address))};
  }
  if (signal == SIGTRAP) {
    if (info.si_code == TRAP_TRACE) return {Kind::SingleStep, {}};
    return {step_back_over_breakpoint(state) ? Kind::Instruction : Kind::Escaped, {}};
  }
  return {Kind::Instruction, {}};
}

DirectStop DirectProcess::run(GuestState* state) {
  using Kind = DirectStop::Kind;
  int status = 0;
  user_regs_struct registers{};
  if (process_->is_gone() || !load(*state) || trace(PTRACE_SYSEMU, id(), nullptr, nullptr) != 0) {
    return {Kind::Gone, {}};
  }
  if (!process_->wait_for_stop(&status)) {
    // The filter's doing: the vsyscall page is a door that the tracer does not see.
    const bool by_filter = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    return {by_filter ? Kind::Escaped : Kind::Gone, {}};
  }
  if (trace(PTRACE_GETREGS, id(), nullptr, &registers) != 0) return {Kind::Gone, {}};
  GuestState before_explaining = *state;
  if (!store(registers, WSTOPSIG(status) == kSystemCallStop, state)) {
    *state = before_explaining;
    fpu_known_ = false;
    return {Kind::Escaped, {}};
  }
  const DirectStop stop = explain(status, state);
  if (stop.kind == Kind::Escaped) *state = before_explaining;
  return stop;
}

}  // namespace ringshift

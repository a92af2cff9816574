// DirectHost: makes the template process and forks the others from it.
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "monitor/direct/direct_process.h"
#include "monitor/direct/direct_sandbox.h"
#include "monitor/direct/traced.h"
#include "monitor/host/cpuid_faulting.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// Intel's processors have SYSENTER in 32-bit mode under a 64-bit kernel and no SYSCALL, AMD's have
// it the other way round. Of other makes neither is taken to trap.
HostTraps traps_of_this_processor() {
  unsigned most = 0;
  std::array<unsigned, 3> maker{};
  HostTraps traps{.cpuid = false, .syscall = false, .sysenter = false};
  if (__get_cpuid(0, &most, &maker[0], &maker[2], &maker[1]) == 0) return traps;
  const std::string_view name(reinterpret_cast<const char*>(maker.data()), sizeof(maker));
  traps.syscall = name == "GenuineIntel";
  traps.sysenter = name == "AuthenticAMD" || name == "HygonGenuine";
  return traps;
}

// The stub's INT3. A signal of somebody else's on the way there is given to the process, which ends
// by it or goes on.
bool wait_for_stub(pid_t id, std::string* error) {
  int status = 0;
  while (true) {
    if (waitpid(id, &status, __WALL) != id) {
      if (errno == EINTR) continue;
      *error = "waitpid: " + errno_text();
      return false;
    }
    if (!WIFSTOPPED(status)) break;
    if (WSTOPSIG(status) == SIGTRAP) return true;
    const auto given = static_cast<uintptr_t>(WSTOPSIG(status));
    (void)trace(PTRACE_CONT, id, nullptr, reinterpret_cast<void*>(given));
  }
  *error = WIFEXITED(status) ? sandbox_failure(WEXITSTATUS(status))
                             : "it was killed by signal " + std::to_string(WTERMSIG(status));
  return false;
}

}  // namespace

std::unique_ptr<DirectHost> DirectHost::create(int ram, CpuidGuard guard, std::string* error) {
  // Without it a null selector's neighbour loses its base at the next switch of host processes.
  constexpr unsigned long kFsGsBase = 1U << 1;
  if ((getauxval(AT_HWCAP2) & kFsGsBase) == 0) {
    *error = "the host kernel does not offer FSGSBASE";
    return nullptr;
  }
  auto host = std::unique_ptr<DirectHost>(new DirectHost());
  const HostResult made =
      create_memfd("ringshift-commands", kDirectCommandBytes, &host->command_descriptor_);
  HostAddress mapped;
  if (!made.ok() ||
      !map_shared(host->command_descriptor_, 0, kDirectCommandBytes, HostAccess::ReadWrite, &mapped)
           .ok()) {
    *error = "no memory for commands";
    return nullptr;
  }
  host->commands_ = reinterpret_cast<DirectCommand*>(mapped.value());
  host->traps_ = traps_of_this_processor();
  if (!host->start_template(ram, error) || !host->guard_cpuid(guard, error)) return nullptr;
  return host;
}

DirectHost::~DirectHost() {
  template_.reset();
  if (commands_ != nullptr) {
    (void)release(HostAddress(reinterpret_cast<uint64_t>(commands_)), kDirectCommandBytes);
  }
  close_descriptor(command_descriptor_);
}

bool DirectHost::start_template(int ram, std::string* error) {
  const pid_t monitor = getpid();
  std::array<int, 2> go{};  // tells the child that it is traced
  if (pipe2(go.data(), O_CLOEXEC) != 0) {
    *error = "pipe: " + errno_text();
    return false;
  }
  const pid_t id = fork();
  if (id == 0) enter_direct_sandbox({ram, command_descriptor_, go[0], monitor});
  const bool adopted = id > 0 && adopt_template(id, go[1], error);
  if (id < 0) *error = "fork: " + errno_text();
  close(go[0]);
  close(go[1]);
  if (adopted || id < 0) return adopted;
  if (template_ == nullptr) {
    kill(id, SIGKILL);
    waitpid(id, nullptr, __WALL);
  }
  template_.reset();
  return false;
}

bool DirectHost::adopt_template(pid_t id, int go, std::string* error) {
  // Not PTRACE_TRACEME: only what has been seized can be interrupted without a signal.
  const auto* options = reinterpret_cast<const void*>(uintptr_t{kTraceOptions});
  if (trace(PTRACE_SEIZE, id, nullptr, options) != 0 || write(go, "", 1) != 1) {
    *error = "ptrace is not allowed: " + errno_text();
    return false;
  }
  user_regs_struct registers{};
  if (!wait_for_stub(id, error) || trace(PTRACE_GETREGS, id, nullptr, &registers) != 0)
    return false;
  user_regs_struct idle{};
  idle.cs = kUserCode64;
  idle.ss = kUserData;
  idle.eflags = kFlagReservedOne | kFlagIf;
  idle.orig_rax = ~0ULL;  // no system call to be restarted
  template_ = std::unique_ptr<DirectProcess>(new DirectProcess(id, idle, commands_));
  return empty_template(error);
}

// From here on the template holds nothing of ours: no code, no stack, no heap, no vDSO.
bool DirectHost::empty_template(std::string* error) {
  constexpr uint64_t kLastPage = (uint64_t{1} << 47) - kPageSize;
  std::array<DirectCommand, 2> emptying{};
  emptying[0].number = SYS_munmap;
  emptying[0].arguments = {0, kDirectStubAddress};
  emptying[1].number = SYS_munmap;
  emptying[1].arguments = {kDirectEnd, kLastPage - kDirectEnd};
  std::string why;
  if (template_->carry_out(emptying, &why)) return true;
  *error = "a process for user code cannot be emptied";
  return false;
}

bool DirectHost::guard_cpuid(CpuidGuard guard, std::string* error) {
  if (guard == CpuidGuard::Sweep) return true;
  std::array<DirectCommand, 1> faulting{};
  faulting[0].number = SYS_arch_prctl;
  faulting[0].arguments = {kArchSetCpuid, 0};
  std::string why;
  traps_.cpuid = template_->carry_out(faulting, &why);
  if (traps_.cpuid || guard == CpuidGuard::Auto) return true;
  *error = "CPUID cannot be made to fault on this processor";
  return false;
}

std::unique_ptr<DirectProcess> DirectHost::spawn(std::string* error) {
  commands_[0] = DirectCommand();
  commands_[0].number = SYS_clone;
  commands_[0].arguments = {CLONE_PARENT | SIGCHLD};
  int status = 0;
  user_regs_struct registers{};
  const bool ran = template_->run_stub(1, &status, &registers);
  unsigned long child = 0;
  const bool forked =
      ran && (status >> 16) != 0 && trace(PTRACE_GETEVENTMSG, template_->id_, nullptr, &child) == 0;
  commands_[0] = DirectCommand();
  if (!forked) {
    *error = "the host refused a process for user code";
    return nullptr;
  }
  auto process = std::unique_ptr<DirectProcess>(
      new DirectProcess(static_cast<pid_t>(child), template_->idle_, commands_));
  if (!process->wait_for_stop(&status) ||
      trace(PTRACE_GETREGS, process->id_, nullptr, &registers) != 0) {
    *error = "the process for user code is gone";
    return nullptr;
  }
  process->identification_flag_ = static_cast<uint32_t>(registers.eflags) & kFlagId;
  counters().direct_processes++;
  return process;
}

}  // namespace ringshift

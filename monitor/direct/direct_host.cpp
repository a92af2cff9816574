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
// it the other way round. On processors of other makers neither is taken to trap.
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

}  // namespace

std::unique_ptr<DirectHost> DirectHost::create(int ram, CpuidGuard guard, std::string* error) {
  // Without it a null selector's neighbour loses its base at the next switch of host processes.
  constexpr unsigned long kFsGsBase = 1U << 1;
  if ((getauxval(AT_HWCAP2) & kFsGsBase) == 0) {
    *error = "the host kernel does not offer FSGSBASE";
    return nullptr;
  }
  auto host = std::unique_ptr<DirectHost>(new DirectHost());
  std::shared_ptr<CommandPage> page = CommandPage::create(error);
  if (page == nullptr) return nullptr;
  host->traps_ = traps_of_this_processor();
  host->template_ = SandboxedProcess::start(ram, std::move(page), SandboxPolicy::UserCode, error);
  if (host->template_ == nullptr || !host->guard_cpuid(guard, error)) return nullptr;
  return host;
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
  DirectCommand& command = template_->commands()[0];
  command = DirectCommand();
  command.number = SYS_clone;
  command.arguments = {CLONE_PARENT | SIGCHLD};
  int status = 0;
  user_regs_struct registers{};
  const bool ran = template_->run_stub(1, &status, &registers);
  unsigned long child = 0;
  const bool forked = ran && (status >> 16) != 0 &&
                      trace(PTRACE_GETEVENTMSG, template_->id(), nullptr, &child) == 0;
  command = DirectCommand();
  if (!forked) {
    *error = "the host refused a process for user code";
    return nullptr;
  }
  std::unique_ptr<SandboxedProcess> made = template_->adopt_child(static_cast<pid_t>(child));
  if (!made->wait_for_stop(&status) ||
      trace(PTRACE_GETREGS, made->id(), nullptr, &registers) != 0) {
    *error = "the process for user code is gone";
    return nullptr;
  }
  auto process = std::unique_ptr<DirectProcess>(new DirectProcess(std::move(made)));
  process->identification_flag_ = static_cast<uint32_t>(registers.eflags) & kFlagId;
  counters().direct_processes++;
  return process;
}

}  // namespace ringshift

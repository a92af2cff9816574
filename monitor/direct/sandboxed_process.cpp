#include "monitor/direct/sandboxed_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "monitor/direct/direct_sandbox.h"
#include "monitor/direct/traced.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/host_mapping.h"
#include "translator/guest_state.h"

namespace ringshift {
namespace {

// An interruption meant for guest code, or a signal that somebody else has sent.
bool is_of_no_interest(int status) {
  return (status >> 16) == PTRACE_EVENT_STOP || WSTOPSIG(status) == SIGSTOP ||
         WSTOPSIG(status) == SIGUSR1 || WSTOPSIG(status) == SIGALRM;
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

// Registers of a process at whose stub nothing of the guest's or ours is left.
user_regs_struct idle_registers() {
  user_regs_struct idle{};
  idle.cs = kUserCode64;
  idle.ss = kUserData;
  idle.eflags = kFlagReservedOne | kFlagIf;
  idle.orig_rax = ~0ULL;  // no system call to be restarted
  return idle;
}

void end_stranger(pid_t id) {
  kill(id, SIGKILL);
  waitpid(id, nullptr, __WALL);
}

}  // namespace

std::shared_ptr<CommandPage> CommandPage::create(std::string* error) {
  std::shared_ptr<CommandPage> page(new CommandPage());
  HostAddress mapped;
  if (create_memfd("ringshift-commands", kDirectCommandBytes, &page->descriptor_).ok() &&
      map_shared(page->descriptor_, 0, kDirectCommandBytes, HostAccess::ReadWrite, &mapped).ok()) {
    page->commands_ = reinterpret_cast<DirectCommand*>(mapped.value());
    return page;
  }
  *error = "no memory for commands";
  return nullptr;
}

CommandPage::~CommandPage() {
  if (commands_ != nullptr) {
    (void)release(HostAddress(reinterpret_cast<uint64_t>(commands_)), kDirectCommandBytes);
  }
  close_descriptor(descriptor_);
}

std::unique_ptr<SandboxedProcess> SandboxedProcess::start(int ram,
                                                          std::shared_ptr<CommandPage> page,
                                                          SandboxPolicy policy,
                                                          std::string* error) {
  const pid_t monitor = getpid();
  std::array<int, 2> go{};  // tells the child that it is traced
  if (pipe2(go.data(), O_CLOEXEC) != 0) {
    *error = "pipe: " + errno_text();
    return nullptr;
  }
  const pid_t id = fork();
  if (id == 0) enter_direct_sandbox({ram, page->descriptor(), go[0], monitor, policy});
  if (id < 0) *error = "fork: " + errno_text();
  // Not PTRACE_TRACEME: only a process that has been seized can be interrupted without a signal.
  const auto* options = reinterpret_cast<const void*>(uintptr_t{kTraceOptions});
  bool is_ours =
      id > 0 && trace(PTRACE_SEIZE, id, nullptr, options) == 0 && write(go[1], "", 1) == 1;
  if (id > 0 && !is_ours) *error = "ptrace is not allowed: " + errno_text();
  close(go[0]);
  close(go[1]);
  is_ours = is_ours && wait_for_stub(id, error);
  if (!is_ours && id > 0) end_stranger(id);
  if (!is_ours) return nullptr;
  std::unique_ptr<SandboxedProcess> made(
      new SandboxedProcess(id, idle_registers(), std::move(page)));
  return made->empty(error) ? std::move(made) : nullptr;
}

SandboxedProcess::SandboxedProcess(pid_t id, const user_regs_struct& idle,
                                   std::shared_ptr<CommandPage> page)
    : id_(id), idle_(idle), page_(std::move(page)) {}

std::unique_ptr<SandboxedProcess> SandboxedProcess::adopt_child(pid_t id) const {
  return std::unique_ptr<SandboxedProcess>(new SandboxedProcess(id, idle_, page_));
}

SandboxedProcess::~SandboxedProcess() {
  if (is_reaped_) return;
  // Not kill(): a confined monitor has no signals for others. It stands still here, as ever.
  (void)trace(PTRACE_KILL, id_, nullptr, nullptr);
  int status = 0;
  while (waitpid(id_, &status, __WALL) == id_ && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
}

// From here on it holds nothing of ours: no code, no stack, no heap, no vDSO.
bool SandboxedProcess::empty(std::string* error) {
  constexpr uint64_t kLastPage = (uint64_t{1} << 47) - kPageSize;
  std::array<DirectCommand, 2> emptying{};
  emptying[0].number = SYS_munmap;
  emptying[0].arguments = {0, kDirectStubAddress};
  emptying[1].number = SYS_munmap;
  emptying[1].arguments = {kDirectEnd, kLastPage - kDirectEnd};
  std::string why;
  if (carry_out(emptying, &why)) return true;
  *error = "a process for guest code cannot be emptied";
  return false;
}

// False: it is gone.
bool SandboxedProcess::wait_for_stop(int* status) {
  pid_t found = 0;
  do {
    found = waitpid(id_, status, __WALL);
  } while (found < 0 && errno == EINTR);
  if (found == id_ && WIFSTOPPED(*status)) return true;
  is_reaped_ = true;
  return false;
}

// Runs `commands` commands; on return *after is where the stub stopped, or where a new process
// appeared. A kick may come at any time and is of no interest here.
bool SandboxedProcess::run_stub(size_t commands, int* status, user_regs_struct* after) {
  if (is_reaped_) return false;
  user_regs_struct registers = idle_;
  registers.rip = kDirectStubAddress;
  registers.rbx = kDirectCommandsAddress;
  registers.rbp = commands;
  if (trace(PTRACE_SETREGS, id_, nullptr, &registers) != 0) return false;
  do {
    if (trace(PTRACE_CONT, id_, nullptr, nullptr) != 0 || !wait_for_stop(status)) return false;
    if (WSTOPSIG(*status) == SIGALRM) has_alarm_ = true;
  } while (is_of_no_interest(*status));
  return trace(PTRACE_GETREGS, id_, nullptr, after) == 0;
}

bool SandboxedProcess::carry_out(std::span<const DirectCommand> commands, std::string* error) {
  while (!commands.empty()) {
    const size_t count = std::min(commands.size(), kDirectCommands);
    std::copy_n(commands.begin(), count, this->commands());
    int status = 0;
    user_regs_struct after{};
    const bool ran = run_stub(count, &status, &after);
    // The commands of one program are not for the others to read.
    std::memset(static_cast<void*>(this->commands()), 0, count * sizeof(DirectCommand));
    counters().direct_batches++;
    counters().direct_commands += count;
    if (!ran) {
      *error = "the process that runs user code is gone";
      return false;
    }
    if (after.rbp != 0) {
      *error = "the host refused a mapping to the process that runs user code: " +
               std::generic_category().message(-static_cast<int>(after.rax));
      return false;
    }
    commands = commands.subspan(count);
  }
  return true;
}

bool SandboxedProcess::take_alarm() { return std::exchange(has_alarm_, false); }

}  // namespace ringshift

// SandboxedProcess: a host process that has nothing of ours but a stub of code, and makes host
// system calls only when it is told to by commands; guest pages are mapped into it that way. This
// thread traces it. Two kinds of code run in such a process: user code of guests (direct_process.h)
// and guest kernels deprivileged (monitor/trap/tracee.h); its policy names the calls that it may
// make to the host. Owns: the process. Keeps: S1 S2. See docs/security.md.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ringshift {

// One host system call for a sandboxed process to make.
struct alignas(64) DirectCommand {
  uint64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  uint64_t reserved = 0;
};
static_assert(sizeof(DirectCommand) == 64, "direct_sandbox.cpp steps by 64");

// The operations that the filter of system calls allows, besides munmap.
enum class SandboxPolicy : uint8_t {
  // Guest RAM below 4 GiB, never writable and executable at once; more processes like it; its own
  // affinity; CPUID and RDTSC made to fault.
  UserCode,
  // Guest RAM page by page below 4 GiB, with any rights; its interval timer.
  Deprivileged,
};

// Memory that we write commands to and processes read.
class CommandPage {
 public:
  // Null with one line in *error.
  static std::shared_ptr<CommandPage> create(std::string* error);
  ~CommandPage();
  CommandPage(const CommandPage&) = delete;
  CommandPage& operator=(const CommandPage&) = delete;
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] DirectCommand* commands() const { return commands_; }

 private:
  CommandPage() = default;
  int descriptor_ = -1;
  DirectCommand* commands_ = nullptr;
};

class SandboxedProcess {
 public:
  // Forks this process and empties the new one: no code, no stack, no heap, no vDSO of ours stays.
  // ram: descriptor of guest RAM. Null with one line in *error.
  static std::unique_ptr<SandboxedProcess> start(int ram, std::shared_ptr<CommandPage> page,
                                                 SandboxPolicy policy, std::string* error);
  // One that this one has made, stopped at its beginning.
  [[nodiscard]] std::unique_ptr<SandboxedProcess> adopt_child(pid_t id) const;
  ~SandboxedProcess();
  SandboxedProcess(const SandboxedProcess&) = delete;
  SandboxedProcess& operator=(const SandboxedProcess&) = delete;

  [[nodiscard]] pid_t id() const { return id_; }
  [[nodiscard]] bool is_gone() const { return is_reaped_; }
  // Registers with nothing of the guest's or ours in them.
  [[nodiscard]] const user_regs_struct& idle() const { return idle_; }
  [[nodiscard]] DirectCommand* commands() const { return page_->commands(); }

  // False: it is gone, as *status says.
  [[nodiscard]] bool wait_for_stop(int* status);
  // Carries out the first `commands` commands of the page; *after is where the stub stopped, or
  // where a new process appeared. False: it is gone.
  [[nodiscard]] bool run_stub(size_t commands, int* status, user_regs_struct* after);
  // Carries the commands out, in order. False with one line in *error: the host refused one, or the
  // process is gone; the process's mappings are then unknown.
  [[nodiscard]] bool carry_out(std::span<const DirectCommand> commands, std::string* error);
  // True: the process's interval timer has run out while it carried out commands, since the last
  // call.
  [[nodiscard]] bool take_alarm();

 private:
  SandboxedProcess(pid_t id, const user_regs_struct& idle, std::shared_ptr<CommandPage> page);
  [[nodiscard]] bool empty(std::string* error);

  pid_t id_;
  bool is_reaped_ = false;  // its number may be another's by now
  bool has_alarm_ = false;
  user_regs_struct idle_;
  std::shared_ptr<CommandPage> page_;  // shared with every process; they see it read-only
};

}  // namespace ringshift

#include "monitor/host_signals.h"

#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "devices/host_console.h"
#include "monitor/cpuid_faulting.h"

namespace ringshift {
namespace {

// What the handlers reach. Plain pointers: a handler has no other way to find its machine.
std::atomic<Gate*> g_gate{nullptr};
std::atomic<Attention*> g_attention{nullptr};

std::atomic<bool> g_termination{false};
std::atomic<bool> g_report{false};

constexpr std::array<int, 3> kTerminationSignals = {SIGTERM, SIGHUP, SIGINT};
constexpr std::array<int, 5> kFaultSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
constexpr size_t kAlternateStackBytes = 64 * 1024;

// async-signal-safe. A fault of our own code: give the terminal back and die of the same signal.
void die_of(int signal) {
  restore_terminal();
  static constexpr char kMessage[] = "ringshift: internal error: host fault outside guest code\n";
  (void)!write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
}

// async-signal-safe. V2: record and redirect, nothing more.
void on_fault(int signal, siginfo_t* info, void* context) {
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  Gate* gate = g_gate.load(std::memory_order_relaxed);
  const auto host_pc = static_cast<uint64_t>(machine->gregs[REG_RIP]);
  if (gate == nullptr || !gate->owns(host_pc)) {
    const bool is_general_protection = signal == SIGSEGV && info->si_code == SI_KERNEL;
    if (is_general_protection && CpuidFaulting::is_cpuid(host_pc) && CpuidFaulting::let_through()) {
      return;  // it runs again
    }
    die_of(signal);
    return;  // the faulting instruction runs again, now with the default action
  }
  HostFault& fault = gate->fault_record();
  fault.host_pc = host_pc;
  fault.address = reinterpret_cast<uint64_t>(info->si_addr);
  fault.signal = static_cast<uint32_t>(signal);
  fault.trap_number = static_cast<uint32_t>(machine->gregs[REG_TRAPNO]);
  fault.is_write = (machine->gregs[REG_ERR] & 2) != 0;
  machine->gregs[REG_RIP] = static_cast<greg_t>(gate->leave_after_fault());
}

// async-signal-safe
void on_attention(int) {
  const int saved_errno = errno;
  if (Attention* attention = g_attention.load(std::memory_order_relaxed)) attention->raise();
  errno = saved_errno;
}

// async-signal-safe
void on_termination(int signal) {
  g_termination.store(true);
  on_attention(signal);
}

// async-signal-safe
void on_report_request(int signal) {
  g_report.store(true);
  on_attention(signal);
}

bool install_alternate_stack(std::string* error) {
  alignas(16) static std::array<std::byte, kAlternateStackBytes> stack;
  stack_t description{};
  description.ss_sp = stack.data();
  description.ss_size = kAlternateStackBytes;
  if (sigaltstack(&description, nullptr) != 0) {
    *error = std::string("cannot set up the signal stack: ") + std::strerror(errno);
    return false;
  }
  return true;
}

}  // namespace

bool HostSignals::termination_requested() { return g_termination.load(); }

bool HostSignals::take_report_request() { return g_report.exchange(false); }

int HostSignals::attention_signal() { return SIGRTMIN + 1; }

bool HostSignals::install(Gate* gate, Attention* attention, std::string* error) {
  static const bool stack_ready = install_alternate_stack(error);
  if (!stack_ready) return false;
  g_gate.store(gate);
  g_attention.store(attention);
  for (int signal : kFaultSignals) {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(signal, &action, nullptr) != 0) return false;
  }
  struct sigaction action {};
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  action.sa_handler = on_termination;
  for (int signal : kTerminationSignals) {
    if (sigaction(signal, &action, nullptr) != 0) return false;
  }
  action.sa_handler = on_report_request;
  if (sigaction(SIGUSR1, &action, nullptr) != 0) return false;
  // A disk image beyond the limit of file sizes is a failed write like any other.
  action.sa_handler = SIG_IGN;
  if (sigaction(SIGXFSZ, &action, nullptr) != 0) return false;
  action.sa_handler = on_attention;
  return sigaction(attention_signal(), &action, nullptr) == 0;
}

void HostSignals::uninstall() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal : kFaultSignals) sigaction(signal, &action, nullptr);
  for (int signal : kTerminationSignals) sigaction(signal, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
  action.sa_handler = SIG_IGN;  // a timer's last signal may still be on its way
  sigaction(attention_signal(), &action, nullptr);
  g_gate.store(nullptr);
  g_attention.store(nullptr);
}

}  // namespace ringshift

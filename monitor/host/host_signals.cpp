#include "monitor/host/host_signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "devices/host/host_console.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/exit_codes.h"
#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

// What the handlers reach. Plain pointers: a handler has no other way to find its machine.
std::atomic<Gate*> g_gate{nullptr};
std::atomic<Attention*> g_attention{nullptr};

std::atomic<bool> g_termination{false};
std::atomic<bool> g_quit{false};
std::atomic<bool> g_report{false};
std::atomic<bool> g_held{false};

// Interrupts the vCPU thread again and again once it has been asked to end.
timer_t g_reminder{};
std::atomic<bool> g_has_reminder{false};

constexpr std::array<int, 3> kTerminationSignals = {SIGTERM, SIGHUP, SIGINT};
constexpr std::array<int, 5> kFaultSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
// Their default action ends us, which would leave the terminal as it is.
constexpr std::array<int, 11> kFatalSignals = {SIGQUIT, SIGABRT,   SIGPIPE, SIGALRM,
                                               SIGUSR2, SIGXCPU,   SIGPROF, SIGVTALRM,
                                               SIGIO,   SIGSTKFLT, SIGPWR};
constexpr size_t kAlternateStackBytes = 64 * 1024;
constexpr long kReminderNanoseconds = 20'000'000;

// async-signal-safe
void say(std::string_view line) { (void)!write(STDERR_FILENO, line.data(), line.size()); }

void set_default_action(int signal) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
}

// async-signal-safe. The terminal is given back; the signal comes again when the handler returns,
// now with its default action. That does not count on an instruction faulting again: somebody's
// kill() has the same end.
void die_of(int signal) {
  restore_terminal();
  set_default_action(signal);
  raise(signal);
}

// async-signal-safe
void on_fatal(int signal) { die_of(signal); }

// async-signal-safe. Ctrl-Z is the guest's, so this one comes from outside: the shell gets its
// terminal as it was.
void on_stop_request(int) {
  const int saved_errno = errno;
  suspend_terminal();
  raise(SIGSTOP);
  errno = saved_errno;
}

// async-signal-safe
void on_continue(int) {
  const int saved_errno = errno;
  resume_terminal();
  errno = saved_errno;
}

// The host has no memory (or no sound memory) for a page that is mapped.
bool is_memory_refused(int signal, const siginfo_t& info) {
  return signal == SIGBUS && info.si_code != BUS_ADRALN && info.si_code != SI_KERNEL;
}

// async-signal-safe. Outside of generated code there is no way back into the loop.
[[noreturn]] void end_without_memory() {
  restore_terminal();
  say("ringshift: the host cannot supply memory that the guest was given\n");
  _exit(kExitHost);
}

// async-signal-safe. V2: record and redirect, nothing more.
void on_fault(int signal, siginfo_t* info, void* context) {
  if (info->si_code <= 0) return die_of(signal);  // nothing has faulted: a process has sent it
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  Gate* gate = g_gate.load(std::memory_order_relaxed);
  const auto host_pc = static_cast<uint64_t>(machine->gregs[REG_RIP]);
  if (gate == nullptr || !gate->owns(host_pc)) {
    const bool is_general_protection = signal == SIGSEGV && info->si_code == SI_KERNEL;
    if (is_general_protection && CpuidFaulting::is_cpuid(host_pc) && CpuidFaulting::let_through()) {
      return;  // it runs again
    }
    if (is_memory_refused(signal, *info)) end_without_memory();
    restore_terminal();
    say("ringshift: internal error: host fault outside guest code\n");
    return die_of(signal);
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
void start_reminder() {
  if (!g_has_reminder.load()) return;
  itimerspec often{};
  often.it_value.tv_nsec = often.it_interval.tv_nsec = kReminderNanoseconds;
  timer_settime(g_reminder, 0, &often, nullptr);
}

// async-signal-safe
void on_termination(int signal) {
  const int saved_errno = errno;
  g_termination.store(true);
  start_reminder();
  on_attention(signal);
  errno = saved_errno;
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

bool make_reminder(std::string* error) {
  if (g_has_reminder.load()) return true;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = interruption_signal();
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (!install_interruption() || timer_create(CLOCK_MONOTONIC, &event, &g_reminder) != 0) {
    *error = std::string("cannot create the timer: ") + std::strerror(errno);
    return false;
  }
  g_has_reminder.store(true);
  return true;
}

void end_reminder() {
  if (g_has_reminder.exchange(false)) timer_delete(g_reminder);
}

bool handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  action.sa_handler = handler;
  return sigaction(signal, &action, nullptr) == 0;
}

bool handle_faults() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (const int signal : kFaultSignals) {
    if (sigaction(signal, &action, nullptr) != 0) return false;
  }
  return true;
}

bool handle_all() {
  bool done = handle_faults();
  for (const int signal : kFatalSignals) done = done && handle(signal, on_fatal);
  for (const int signal : kTerminationSignals) done = done && handle(signal, on_termination);
  // A disk image beyond the limit of file sizes is a failed write like any other.
  return done && handle(SIGTSTP, on_stop_request) && handle(SIGCONT, on_continue) &&
         handle(SIGUSR1, on_report_request) && handle(SIGXFSZ, SIG_IGN) &&
         handle(HostSignals::attention_signal(), on_attention);
}

}  // namespace

HostSignals::Hold::Hold() { g_held.store(true); }

HostSignals::Hold::~Hold() {
  g_held.store(false);
  uninstall();
}

bool HostSignals::termination_requested() { return g_termination.load() || g_quit.load(); }

void HostSignals::request_termination() {
  g_quit.store(true);
  start_reminder();
}

bool HostSignals::take_report_request() { return g_report.exchange(false); }

int HostSignals::attention_signal() { return SIGRTMIN + 1; }

bool HostSignals::install(Gate* gate, Attention* attention, std::string* error) {
  static const bool stack_ready = install_alternate_stack(error);
  if (!stack_ready || !make_reminder(error)) return false;
  g_gate.store(gate);
  g_attention.store(attention);
  if (!handle_all()) {
    *error = std::string("cannot handle signals: ") + std::strerror(errno);
    return false;
  }
  // It may have come before there was anything to tell.
  if (termination_requested()) attention->raise();
  return true;
}

void HostSignals::uninstall() {
  g_gate.store(nullptr);
  g_attention.store(nullptr);
  if (g_held.load()) return;
  g_quit.store(false);
  for (const int signal : kFaultSignals) set_default_action(signal);
  for (const int signal : kFatalSignals) set_default_action(signal);
  for (const int signal : kTerminationSignals) set_default_action(signal);
  for (const int signal : {SIGTSTP, SIGCONT, SIGUSR1}) set_default_action(signal);
  end_reminder();
  handle(attention_signal(), SIG_IGN);  // a timer's last signal may still be on its way
}

}  // namespace ringshift

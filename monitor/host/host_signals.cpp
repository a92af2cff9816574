#include "monitor/host/host_signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "devices/host/host_console.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/lost_memory.h"
#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

std::atomic<bool> g_termination{false};
std::atomic<bool> g_quit{false};
std::atomic<bool> g_report{false};
std::atomic<bool> g_save{false};
std::atomic<bool> g_saves_expected{false};
std::atomic<bool> g_held{false};

constexpr std::array<int, 3> kTerminationSignals = {SIGTERM, SIGHUP, SIGINT};
constexpr std::array<int, 5> kFaultSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
// Their default action ends us, which would leave the terminal as it is.
constexpr std::array<int, 10> kFatalSignals = {SIGQUIT, SIGABRT,   SIGPIPE, SIGALRM,   SIGXCPU,
                                               SIGPROF, SIGVTALRM, SIGIO,   SIGSTKFLT, SIGPWR};
constexpr size_t kAlternateStackBytes = 64 * 1024;
constexpr long kReminderNanoseconds = 20'000'000;
constexpr size_t kMostVcpuThreads = 16;

// A thread that runs a guest, as the handlers find it: they have no other way to their machine.
struct VcpuThread {
  std::atomic<bool> is_taken{false};
  std::atomic<Gate*> gate{nullptr};
  std::atomic<Attention*> attention{nullptr};
  // Interrupts the thread again and again once it has been asked to end.
  timer_t reminder{};
  std::atomic<bool> has_reminder{false};
  stack_t stack_before{};
  std::byte* stack = nullptr;  // made once, for the thread in this place; never freed
};
std::array<VcpuThread, kMostVcpuThreads> g_vcpu_threads;
constinit thread_local VcpuThread* t_vcpu_thread = nullptr;

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

// async-signal-safe. V2: record and redirect, nothing more.
void on_fault(int signal, siginfo_t* info, void* context) {
  if (info->si_code <= 0) return die_of(signal);  // nothing has faulted: a process has sent it
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  Gate* gate = t_vcpu_thread != nullptr ? t_vcpu_thread->gate.load() : nullptr;
  const auto host_pc = static_cast<uint64_t>(machine->gregs[REG_RIP]);
  if (gate == nullptr || !gate->owns(host_pc)) {
    const bool is_general_protection = signal == SIGSEGV && info->si_code == SI_KERNEL;
    if (is_general_protection && CpuidFaulting::is_cpuid(host_pc) && CpuidFaulting::let_through()) {
      return;  // it runs again
    }
    // Outside of generated code there is no way back into the loop.
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
void raise_attention(const VcpuThread& thread) {
  if (Attention* attention = thread.attention.load()) attention->raise();
}

// async-signal-safe. For this thread's machine.
void on_attention(int) {
  const int saved_errno = errno;
  if (t_vcpu_thread != nullptr) raise_attention(*t_vcpu_thread);
  errno = saved_errno;
}

// async-signal-safe. For a signal to the process: the host may have chosen any thread for it.
void raise_everywhere() {
  for (const VcpuThread& thread : g_vcpu_threads) raise_attention(thread);
}

// async-signal-safe
void start_reminders() {
  itimerspec often{};
  often.it_value.tv_nsec = often.it_interval.tv_nsec = kReminderNanoseconds;
  for (VcpuThread& thread : g_vcpu_threads) {
    if (thread.has_reminder.load()) timer_settime(thread.reminder, 0, &often, nullptr);
  }
}

// async-signal-safe
void on_termination(int) {
  const int saved_errno = errno;
  g_termination.store(true);
  start_reminders();
  raise_everywhere();
  errno = saved_errno;
}

// async-signal-safe
void on_report_request(int) {
  const int saved_errno = errno;
  g_report.store(true);
  raise_everywhere();
  errno = saved_errno;
}

bool install_alternate_stack(VcpuThread& thread, std::string* error) {
  if (thread.stack == nullptr) thread.stack = new std::byte[kAlternateStackBytes];
  stack_t description{};
  description.ss_sp = thread.stack;
  description.ss_size = kAlternateStackBytes;
  if (sigaltstack(&description, &thread.stack_before) == 0) return true;
  *error = std::string("cannot set up the signal stack: ") + std::strerror(errno);
  return false;
}

// async-signal-safe
void on_save_request(int signal) {
  if (!g_saves_expected.load()) return die_of(signal);
  const int saved_errno = errno;
  g_save.store(true);
  raise_everywhere();
  errno = saved_errno;
}

bool make_reminder(VcpuThread& thread, std::string* error) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = interruption_signal();
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (!install_interruption() || timer_create(CLOCK_MONOTONIC, &event, &thread.reminder) != 0) {
    *error = std::string("cannot create the timer: ") + std::strerror(errno);
    return false;
  }
  thread.has_reminder.store(true);
  return true;
}

// Gives this thread a place in the table. It keeps it until leave_table().
bool enter_table(std::string* error) {
  if (t_vcpu_thread != nullptr) return true;
  for (VcpuThread& thread : g_vcpu_threads) {
    if (thread.is_taken.exchange(true)) continue;
    t_vcpu_thread = &thread;
    return install_alternate_stack(thread, error) && make_reminder(thread, error);
  }
  *error = "too many machines run in this process";
  return false;
}

void leave_table() {
  VcpuThread* thread = std::exchange(t_vcpu_thread, nullptr);
  if (thread == nullptr) return;
  if (thread->has_reminder.exchange(false)) timer_delete(thread->reminder);
  if (thread->stack_before.ss_flags == SS_DISABLE || thread->stack_before.ss_sp != nullptr) {
    sigaltstack(&thread->stack_before, nullptr);
  }
  thread->is_taken.store(false);
}

bool table_is_empty() {
  return std::none_of(g_vcpu_threads.begin(), g_vcpu_threads.end(),
                      [](const VcpuThread& thread) { return thread.is_taken.load(); });
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
         handle(SIGUSR1, on_report_request) && handle(SIGUSR2, on_save_request) &&
         handle(SIGXFSZ, SIG_IGN) && handle(HostSignals::attention_signal(), on_attention);
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
  start_reminders();
}

bool HostSignals::take_report_request() { return g_report.exchange(false); }

void HostSignals::expect_save_requests() {
  g_saves_expected.store(true);
  handle(SIGUSR2, on_save_request);
}

bool HostSignals::take_save_request() { return g_save.exchange(false); }

int HostSignals::attention_signal() { return SIGRTMIN + 1; }

bool HostSignals::install(Gate* gate, Attention* attention, std::string* error) {
  if (!enter_table(error)) return false;
  t_vcpu_thread->gate.store(gate);
  t_vcpu_thread->attention.store(attention);
  if (!handle_all()) {
    *error = std::string("cannot handle signals: ") + std::strerror(errno);
    return false;
  }
  // It may have come before there was anything to tell.
  if (termination_requested() || g_save.load()) attention->raise();
  return true;
}

void HostSignals::uninstall() {
  if (t_vcpu_thread != nullptr) {
    t_vcpu_thread->gate.store(nullptr);
    t_vcpu_thread->attention.store(nullptr);
  }
  if (g_held.load()) return;
  leave_table();
  if (!table_is_empty()) return;
  g_quit.store(false);
  for (const int signal : kFaultSignals) set_default_action(signal);
  for (const int signal : kFatalSignals) set_default_action(signal);
  for (const int signal : kTerminationSignals) set_default_action(signal);
  for (const int signal : {SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2}) set_default_action(signal);
  // A request to save a machine that has just ended is no reason to die.
  if (g_saves_expected.load()) handle(SIGUSR2, SIG_IGN);
  handle(attention_signal(), SIG_IGN);  // a timer's last signal may still be on its way
}

void HostSignals::ignore_in_helper() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2,
                           SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ}) {
    handle(signal, SIG_IGN);
  }
}

}  // namespace ringshift

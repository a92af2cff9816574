#include "monitor/host/sandbox/confinement.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <initializer_list>
#include <string_view>

#include "devices/host/host_console.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/sandbox/landlock.h"
#include "shadowmmu/host_mapping.h"
#include "translator/host_processor.h"

namespace ringshift {
namespace {

// System calls that a machine, its console, its disks, its debugger and its processes of user code
// use, whatever the arguments: none of them reaches beyond descriptors and mappings that exist
// already.
constexpr int kAllowed[] = {
    // Memory.
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(memfd_create),
    // On open descriptors.
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwritev),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(eventfd2),
    SCMP_SYS(dup3),
    // Connections that were made at the start, and clients at the debugger's socket.
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    // Time.
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(timer_create),
    SCMP_SYS(timer_settime),
    SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_getoverrun),
    SCMP_SYS(timer_delete),
    // Threads and signals of our own.
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getcpu),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    // Our own identity, and the ends of our children.
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getrusage),
    SCMP_SYS(wait4),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
};

// The requests of ptrace that work on a process that is traced already: none of them begins
// tracing, and none ends it.
constexpr int kTraceRequests[] = {
    PTRACE_CONT,      PTRACE_SYSEMU,    PTRACE_SINGLESTEP, PTRACE_SYSEMU_SINGLESTEP,
    PTRACE_INTERRUPT, PTRACE_KILL,      PTRACE_GETREGS,    PTRACE_SETREGS,
    PTRACE_GETFPREGS, PTRACE_SETFPREGS, PTRACE_PEEKDATA,   PTRACE_PEEKTEXT,
    PTRACE_PEEKUSER,  PTRACE_POKEUSER,  PTRACE_GETSIGINFO, PTRACE_GETEVENTMSG,
};

// A terminal's modes and size. Not among them: TIOCSTI, which types on it.
constexpr unsigned long kTerminalRequests[] = {TCGETS,   TCSETS,  TCSETSW,   TCSETSF,
                                               FIONREAD, FIONBIO, TIOCGWINSZ};

// Not among them: those that name who gets a signal.
constexpr int kDescriptorRequests[] = {F_GETFD,         F_SETFD,     F_GETFL,     F_SETFL,
                                       F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS, F_OFD_SETLK};

constexpr int kProcessRequests[] = {PR_SET_TIMERSLACK, PR_SET_NAME, PR_GET_NAME,
                                    0x53564d41 /* PR_SET_VMA: names for memory */};

// How the C library makes a thread (nptl/createthread.c), and nothing else.
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM |
                                  CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |
                                  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

template <typename Value>
scmp_arg_cmp equal(unsigned index, Value value) {
  return {index, SCMP_CMP_EQ, static_cast<scmp_datum_t>(value), 0};
}

class FilterBuilder {
 public:
  FilterBuilder() : filter_(seccomp_init(SCMP_ACT_TRAP)) {}
  ~FilterBuilder() {
    if (filter_ != nullptr) seccomp_release(filter_);
  }
  FilterBuilder(const FilterBuilder&) = delete;
  FilterBuilder& operator=(const FilterBuilder&) = delete;

  void allow(int number, std::initializer_list<scmp_arg_cmp> arguments = {}) {
    add(SCMP_ACT_ALLOW, number, arguments);
  }
  void add(uint32_t action, int number, std::initializer_list<scmp_arg_cmp> arguments = {}) {
    good_ = good_ && filter_ != nullptr &&
            seccomp_rule_add_array(filter_, action, number, static_cast<unsigned>(arguments.size()),
                                   arguments.begin()) == 0;
  }
  // In every thread there is.
  [[nodiscard]] bool load() {
    constexpr uint32_t kBinaryTree = 2;
    if (!good_) return false;
    // 32-bit calls, too.
    (void)seccomp_attr_set(filter_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
    (void)seccomp_attr_set(filter_, SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree);
    // Kernels before 5.16 would slow every store of a filtered process down; a guest's code runs in
    // ours with or without a filter.
    (void)seccomp_attr_set(filter_, SCMP_FLTATR_CTL_SSB, 1);
    return seccomp_attr_set(filter_, SCMP_FLTATR_CTL_TSYNC, 1) == 0 && seccomp_load(filter_) == 0;
  }

 private:
  scmp_filter_ctx filter_;
  bool good_ = true;
};

// Calls that are fine with some arguments only.
void add_by_argument(FilterBuilder* filter) {
  for (const int request : kTraceRequests) {
    filter->allow(SCMP_SYS(ptrace), {equal(0, request)});
  }
  for (const unsigned long request : kTerminalRequests) {
    filter->allow(SCMP_SYS(ioctl), {equal(1, request)});
  }
  for (const int request : kDescriptorRequests) {
    filter->allow(SCMP_SYS(fcntl), {equal(1, request)});
  }
  for (const int request : kProcessRequests) filter->allow(SCMP_SYS(prctl), {equal(0, request)});
  filter->allow(SCMP_SYS(arch_prctl), {equal(0, kArchSetCpuid)});
  filter->allow(SCMP_SYS(setsockopt), {equal(1, IPPROTO_TCP)});
  filter->allow(SCMP_SYS(clone), {equal(0, kThreadFlags)});
  // Signals to ourselves: abort(), and a thread that wakes the vCPU's.
  filter->allow(SCMP_SYS(tgkill), {equal(0, getpid())});
  // Our own limits, to read them; where our own threads run.
  filter->allow(SCMP_SYS(prlimit64), {equal(0, 0), equal(2, 0)});
  filter->allow(SCMP_SYS(sched_setaffinity), {equal(0, 0)});
  filter->allow(SCMP_SYS(sched_getaffinity), {equal(0, 0)});
}

// The end below stays the end: nobody installs another handler for it. Each of the others by its
// number, and not "any but this one": a filter compares 64 bits, of which the kernel uses 32.
void add_signal_actions(FilterBuilder* filter) {
  constexpr int kMostSignals = 64;
  for (int number = 1; number <= kMostSignals; ++number) {
    if (number != SIGSYS) filter->allow(SCMP_SYS(rt_sigaction), {equal(0, number)});
  }
}

// System calls that libraries try first and have another way for.
void add_refusals(FilterBuilder* filter) {
  filter->add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));  // its flags are out of a filter's reach
  // The C library's fstat, which could be any name's; streams do without.
  filter->add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat));
  filter->add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(statx));
}

// async-signal-safe. One line: `text`, then the number.
void say(std::string_view text, int number) {
  char line[96] = {};
  size_t length = text.copy(line, sizeof(line) - 16);  // ten digits, and a newline
  char digits[12];
  size_t count = 0;
  auto left = static_cast<unsigned>(number);
  do {
    digits[count++] = static_cast<char>('0' + left % 10);
    left /= 10;
  } while (left != 0);
  while (count > 0) line[length++] = digits[--count];
  line[length++] = '\n';
  (void)!write(STDERR_FILENO, line, length);
}

std::atomic<bool> g_has_refused{false};

// async-signal-safe. The call has not been made. Says so and ends the process: code that makes such
// a call is a mistake of ours, or is not ours any more. But libraries look into files of the host's
// when nobody expects it, and do without those that they cannot open: that is refused, and said
// once.
void on_forbidden_call(int, siginfo_t* info, void* context) {
  const int number = info->si_syscall;
  const bool is_ours = info->si_arch == AUDIT_ARCH_X86_64;
  if (is_ours && (number == SYS_open || number == SYS_openat)) {
    if (!g_has_refused.exchange(true)) {
      say("ringshift: the sandbox refuses to open a file: system call ", number);
    }
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RAX] = -EACCES;
    return;
  }
  restore_terminal();
  say("ringshift: internal error: the sandbox stops system call ", number);
  _exit(kExitInternal);
}

bool catch_forbidden_calls() {
  struct sigaction action {};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  return sigaction(SIGSYS, &action, nullptr) == 0;
}

bool filter_system_calls() {
  FilterBuilder filter;
  for (const int number : kAllowed) filter.allow(number);
  add_by_argument(&filter);
  add_signal_actions(&filter);
  add_refusals(&filter);
  return catch_forbidden_calls() && filter.load();
}

// A core would have the guest's memory in it, and be a file that nobody named. Descriptors: those
// that are open, and room for those that a reset opens and a debugger brings.
void lower_limits() {
  constexpr rlim_t kDescriptors = 256;
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= kDescriptors) return;
  files.rlim_cur = files.rlim_max = kDescriptors;
  (void)setrlimit(RLIMIT_NOFILE, &files);
}

void add_missing(const char* what, std::string* list) {
  if (!list->empty()) *list += ", ";
  *list += what;
}

}  // namespace

ConfinementOutcome confine_this_process() {
  // One arena for all threads: for how many there may be, and for giving back memory of one that is
  // a thread's own, the C library would read files, later (glibc, malloc/arena.c).
  mallopt(M_ARENA_MAX, 1);
  // Facts about the host that are read once, from files.
  look_at_host_processor();
  (void)most_host_mappings();
  ConfinementOutcome outcome;
  if (!can_be_confined()) {
    outcome.missing = "this build has a sanitizer, which needs what would be given up";
    return outcome;
  }
  lower_limits();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) {
    outcome.missing = "no_new_privs";
    return outcome;
  }
  const int version = Landlock::version();
  if (version > 0 && Landlock().enforce()) outcome.landlock = version;
  outcome.system_calls = filter_system_calls();
  if (!outcome.system_calls) add_missing("seccomp", &outcome.missing);
  if (outcome.landlock == 0) add_missing("Landlock", &outcome.missing);
  return outcome;
}

}  // namespace ringshift

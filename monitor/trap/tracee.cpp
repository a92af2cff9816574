#include "monitor/trap/tracee.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringshift::lab {
namespace {

constexpr uint64_t kStub = 0x7e0000000000;  // far from guest pages, below the end of user space
constexpr uint64_t kPage = 4096;
constexpr uint64_t kUserEnd = 0x7ffffffff000;
constexpr uint64_t kFourGiB = uint64_t{1} << 32;
constexpr int kSystemCallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr suseconds_t kTickMicroseconds = 2000;

// SYSCALL; INT3. Behind it, how long a tick is, for setitimer.
constexpr uint8_t kStubCode[] = {0x0f, 0x05, 0xcc};
constexpr uint64_t kTickOffset = 64;

// The kernel writes to the restartable-sequence area on the way back to user code; it must not look
// for it once the memory is gone.
void leave_restartable_sequences() {
  constexpr unsigned kSmallestArea = 32;
  auto* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  syscall(SYS_rseq, area, std::max(__rseq_size, kSmallestArea), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

template <typename Value>
scmp_arg_cmp equals(unsigned index, Value value) {
  return {index, SCMP_CMP_EQ, static_cast<scmp_datum_t>(value), 0};
}

// What we have the process call for us, and what raise() below does: whoever takes the monitor over
// has no better host in here.
bool install_filter(int ram) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return false;
  bool added = true;
  const auto allow = [&](int number, std::initializer_list<scmp_arg_cmp> arguments) {
    added = added &&
            seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number,
                                   static_cast<unsigned>(arguments.size()), arguments.begin()) == 0;
  };
  allow(SCMP_SYS(mmap), {{0, SCMP_CMP_LT, kFourGiB, 0},
                         equals(1, kPage),
                         equals(3, MAP_SHARED | MAP_FIXED),
                         equals(4, ram)});
  allow(SCMP_SYS(munmap), {});
  allow(SCMP_SYS(setitimer), {equals(0, ITIMER_REAL)});
  allow(SCMP_SYS(getpid), {});
  allow(SCMP_SYS(gettid), {});
  allow(SCMP_SYS(rt_sigprocmask), {});
  allow(SCMP_SYS(tgkill), {equals(0, getpid()), equals(2, SIGSTOP)});
  allow(SCMP_SYS(exit_group), {});
  return added && seccomp_load(filter) == 0;
}

[[noreturn]] void be_the_tracee(int ram) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void* stub = mmap(reinterpret_cast<void*>(kStub), kPage, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (stub != reinterpret_cast<void*>(kStub)) _exit(1);
  std::memcpy(stub, kStubCode, sizeof(kStubCode));
  const itimerval tick{{0, 0}, {0, kTickMicroseconds}};
  std::memcpy(static_cast<char*>(stub) + kTickOffset, &tick, sizeof(tick));
  if (mprotect(stub, kPage, PROT_READ | PROT_EXEC) != 0) _exit(1);
  leave_restartable_sequences();
  // No file but guest memory.
  syscall(SYS_close_range, 0, static_cast<unsigned>(ram) - 1, 0);
  syscall(SYS_close_range, static_cast<unsigned>(ram) + 1, ~0U, 0);
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
  if (!install_filter(ram)) _exit(4);
  raise(SIGSTOP);
  _exit(3);
}

}  // namespace

std::unique_ptr<Tracee> Tracee::create(int ram, std::string* error) {
  std::unique_ptr<Tracee> made(new Tracee);
  made->ram_ = ram;
  made->process_ = fork();
  if (made->process_ == 0) be_the_tracee(ram);
  if (made->process_ < 0) {
    *error = std::string("no process for deprivileged code: ") + std::strerror(errno);
    return nullptr;
  }
  if (!made->prepare(error)) return nullptr;
  if (made->reaches_32_bit_code()) return made;
  *error = "this host runs no 32-bit code (CS 0x23), so none can be deprivileged";
  return nullptr;
}

Tracee::~Tracee() {
  if (process_ <= 0) return;
  ptrace(PTRACE_KILL, process_, nullptr, nullptr);
  int status = 0;
  while (waitpid(process_, &status, __WALL) > 0 && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
}

bool Tracee::wait(int* status) {
  while (waitpid(process_, status, __WALL) < 0) {
    if (errno != EINTR) return false;
  }
  if (WIFSTOPPED(*status)) return true;
  process_ = -1;
  return false;
}

// Empties the process: of the program it was forked from nothing stays.
bool Tracee::prepare(std::string* error) {
  int status = 0;
  do {
    if (!wait(&status)) {
      *error = "this host does not let one process trace another (ptrace)";
      return false;
    }
    if (WSTOPSIG(status) != SIGSTOP) ptrace(PTRACE_CONT, process_, nullptr, nullptr);
  } while (WSTOPSIG(status) != SIGSTOP);
  constexpr long kOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
  int64_t first = -1, second = -1;
  const bool emptied =
      ptrace(PTRACE_SETOPTIONS, process_, nullptr, kOptions) == 0 &&
      ptrace(PTRACE_GETREGS, process_, nullptr, &template_) == 0 &&
      make_call(SYS_munmap, 0, kStub, 0, 0, 0, 0, &first) && first == 0 &&
      make_call(SYS_munmap, kStub + kPage, kUserEnd - kStub - kPage, 0, 0, 0, 0, &second) &&
      second == 0;
  if (!emptied) *error = "the process for deprivileged code cannot be emptied";
  return emptied;
}

// Nothing is mapped where it is sent, so it faults there; where the host has no 32-bit code segment
// it does not come so far.
bool Tracee::reaches_32_bit_code() {
  constexpr uint64_t kUserCode32 = 0x23;
  constexpr uint64_t kNowhere = 0x100000;
  user_fpregs_struct fpu{};
  if (ptrace(PTRACE_GETFPREGS, process_, nullptr, &fpu) != 0) return false;
  TraceStop stop = TraceStop::Tick;
  while (stop == TraceStop::Tick) {
    user_regs_struct registers = template_;
    registers.cs = kUserCode32;
    registers.rip = kNowhere;
    stop = run(&registers, &fpu, false);
  }
  return stop == TraceStop::PageFault && address_ == kNowhere;
}

// A system call of ours, made by the process at its stub.
bool Tracee::make_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                       uint64_t f, int64_t* result) {
  user_regs_struct registers = template_;
  registers.rax = static_cast<uint64_t>(number);
  registers.orig_rax = ~uint64_t{0};
  registers.rdi = a;
  registers.rsi = b;
  registers.rdx = c;
  registers.r10 = d;
  registers.r8 = e;
  registers.r9 = f;
  registers.rip = kStub;
  if (ptrace(PTRACE_SETREGS, process_, nullptr, &registers) != 0) return false;
  int status = 0;
  do {
    if (ptrace(PTRACE_CONT, process_, nullptr, nullptr) != 0 || !wait(&status)) return false;
    if (WSTOPSIG(status) == SIGALRM) ticks_ = false;
  } while (WSTOPSIG(status) == SIGALRM);
  if (WSTOPSIG(status) != SIGTRAP) return false;
  if (ptrace(PTRACE_GETREGS, process_, nullptr, &registers) != 0) return false;
  *result = static_cast<int64_t>(registers.rax);
  return true;
}

bool Tracee::map(uint32_t linear, uint64_t ram_offset, bool writable) {
  int64_t result = -1;
  const uint64_t protection = PROT_READ | PROT_EXEC | (writable ? PROT_WRITE : 0U);
  return make_call(SYS_mmap, linear, kPage, protection, MAP_SHARED | MAP_FIXED,
                   static_cast<uint64_t>(ram_), ram_offset, &result) &&
         result == linear;
}

bool Tracee::unmap_all() {
  int64_t result = -1;
  return make_call(SYS_munmap, 0, kFourGiB, 0, 0, 0, 0, &result) && result == 0;
}

TraceStop Tracee::classify(int status) {
  const int signal = WSTOPSIG(status);
  if (signal == kSystemCallStop) return TraceStop::SystemCall;
  if (signal == SIGALRM) {
    ticks_ = false;
    return TraceStop::Tick;
  }
  siginfo_t info{};
  ptrace(PTRACE_GETSIGINFO, process_, nullptr, &info);
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
// none.
bool Tracee::arm() {
  if (ticks_) return true;
  int64_t result = -1;
  ticks_ = true;
  return make_call(SYS_setitimer, ITIMER_REAL, kStub + kTickOffset, 0, 0, 0, 0, &result) &&
         result == 0;
}

TraceStop Tracee::run(user_regs_struct* registers, user_fpregs_struct* fpu, bool single) {
  const auto request = single ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SYSEMU;
  int status = 0;
  registers->orig_rax = ~uint64_t{0};
  if (process_ < 0 || !arm() || ptrace(PTRACE_SETREGS, process_, nullptr, registers) != 0 ||
      ptrace(PTRACE_SETFPREGS, process_, nullptr, fpu) != 0 ||
      ptrace(request, process_, nullptr, nullptr) != 0 || !wait(&status) ||
      ptrace(PTRACE_GETREGS, process_, nullptr, registers) != 0 ||
      ptrace(PTRACE_GETFPREGS, process_, nullptr, fpu) != 0) {
    return TraceStop::Gone;
  }
  return classify(status);
}

}  // namespace ringshift::lab

#include "monitor/direct/direct_sandbox.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "monitor/host/cpuid_faulting.h"

// Carries out rbp commands of 64 bytes from rbx on: number, six arguments. Stops at INT3 with rbp
// zero, or at the first failure with the error in rax. Needs no stack and no memory of its own.
asm(R"(
  .pushsection .rodata
  .balign 16
  .hidden ringshift_direct_stub
  .globl ringshift_direct_stub
ringshift_direct_stub:
  test %rbp, %rbp
  jz 1f
  mov (%rbx), %rax
  mov 8(%rbx), %rdi
  mov 16(%rbx), %rsi
  mov 24(%rbx), %rdx
  mov 32(%rbx), %r10
  mov 40(%rbx), %r8
  mov 48(%rbx), %r9
  syscall
  cmp $-4096, %rax
  ja 1f
  add $64, %rbx
  dec %rbp
  jmp ringshift_direct_stub
1: int3
  .hidden ringshift_direct_stub_end
  .globl ringshift_direct_stub_end
ringshift_direct_stub_end:
  .popsection
)");

extern "C" {
extern const uint8_t ringshift_direct_stub[];
extern const uint8_t ringshift_direct_stub_end[];
}

namespace ringshift {
namespace {

enum Failure : int { kOrphaned = 10, kDescriptors, kStub, kCommands, kSequences, kFilter };

constexpr uint64_t kFourGiB = uint64_t{1} << 32;

bool keep_two_descriptors(int ram, int commands) {
  constexpr int kScratch = 10;  // out of the way of where both end up
  constexpr int kCommandsAt = kDirectRamDescriptor + 1;
  const int ram_copy = fcntl(ram, F_DUPFD, kScratch);
  const int commands_copy = fcntl(commands, F_DUPFD, kScratch);
  return ram_copy >= 0 && commands_copy >= 0 && dup2(ram_copy, kDirectRamDescriptor) >= 0 &&
         dup2(commands_copy, kCommandsAt) >= 0 &&
         close_range(0, kDirectRamDescriptor - 1, 0) == 0 &&
         close_range(kCommandsAt + 1, ~0U, 0) == 0;
}

bool place_stub() {
  const auto bytes = static_cast<size_t>(ringshift_direct_stub_end - ringshift_direct_stub);
  void* at = mmap(reinterpret_cast<void*>(kDirectStubAddress), 0x1000, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != reinterpret_cast<void*>(kDirectStubAddress)) return false;
  std::memcpy(at, ringshift_direct_stub, bytes);
  return mprotect(at, 0x1000, PROT_READ | PROT_EXEC) == 0;
}

bool place_commands() {
  void* at = mmap(reinterpret_cast<void*>(kDirectCommandsAddress), kDirectCommandBytes, PROT_READ,
                  MAP_SHARED | MAP_FIXED_NOREPLACE, kDirectRamDescriptor + 1, 0);
  return at == reinterpret_cast<void*>(kDirectCommandsAddress) &&
         close(kDirectRamDescriptor + 1) == 0;
}

scmp_arg_cmp argument(unsigned index, scmp_compare comparison, uint64_t value) {
  return {index, comparison, value, 0};
}

// A filter to which rules are added. Any other system call ends the process. The second wall: the
// first is that the tracer lets no system call of guest code begin.
class Filter {
 public:
  void allow(int number, std::initializer_list<scmp_arg_cmp> arguments) {
    is_good_ = is_good_ && seccomp_rule_add_array(filter_, SCMP_ACT_ALLOW, number,
                                                  static_cast<unsigned>(arguments.size()),
                                                  arguments.begin()) == 0;
  }
  // As the kernel takes it; empty: it cannot be made.
  [[nodiscard]] std::vector<sock_filter> compile() const;

 private:
  scmp_filter_ctx filter_ = seccomp_init(SCMP_ACT_KILL_PROCESS);
  bool is_good_ = filter_ != nullptr;
};

std::vector<sock_filter> Filter::compile() const {
  const int file = is_good_ ? memfd_create("filter", MFD_CLOEXEC) : -1;
  if (file < 0 || seccomp_export_bpf(filter_, file) != 0) return {};
  const off_t bytes = lseek(file, 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(bytes) / sizeof(sock_filter));
  const bool is_read = lseek(file, 0, SEEK_SET) == 0 &&
                       read(file, program.data(), static_cast<size_t>(bytes)) == bytes;
  close(file);
  return is_read ? program : std::vector<sock_filter>{};
}

void allow_user_code(Filter* filter) {
  constexpr uint64_t kMapFlags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
  for (const uint64_t flags : {kMapFlags, kMapFlags | MAP_POPULATE}) {
    for (const int rights : {PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC}) {
      filter->allow(
          SCMP_SYS(mmap),
          {argument(0, SCMP_CMP_LT, kFourGiB), argument(1, SCMP_CMP_LE, kFourGiB),
           argument(2, SCMP_CMP_EQ, static_cast<uint64_t>(rights)), argument(3, SCMP_CMP_EQ, flags),
           argument(4, SCMP_CMP_EQ, static_cast<uint64_t>(kDirectRamDescriptor))});
    }
  }
  for (const int rights : {PROT_READ, PROT_READ | PROT_EXEC}) {
    filter->allow(SCMP_SYS(mprotect),
                  {argument(0, SCMP_CMP_LT, kFourGiB), argument(1, SCMP_CMP_LE, kFourGiB),
                   argument(2, SCMP_CMP_EQ, static_cast<uint64_t>(rights))});
  }
  filter->allow(SCMP_SYS(clone), {argument(0, SCMP_CMP_EQ, uint64_t{CLONE_PARENT | SIGCHLD})});
  // The process sets these of itself, when the monitor asks for it.
  filter->allow(SCMP_SYS(sched_setaffinity), {argument(0, SCMP_CMP_EQ, uint64_t{0})});
  filter->allow(SCMP_SYS(arch_prctl), {argument(0, SCMP_CMP_EQ, uint64_t{kArchSetCpuid}),
                                       argument(1, SCMP_CMP_EQ, uint64_t{0})});
  for (const int mode : {PR_TSC_SIGSEGV, PR_TSC_ENABLE}) {
    filter->allow(SCMP_SYS(prctl), {argument(0, SCMP_CMP_EQ, uint64_t{PR_SET_TSC}),
                                    argument(1, SCMP_CMP_EQ, static_cast<uint64_t>(mode))});
  }
}

void allow_deprivileged(Filter* filter) {
  filter->allow(SCMP_SYS(mmap),
                {argument(0, SCMP_CMP_LT, kFourGiB), argument(1, SCMP_CMP_EQ, 0x1000),
                 argument(3, SCMP_CMP_EQ, uint64_t{MAP_SHARED | MAP_FIXED}),
                 argument(4, SCMP_CMP_EQ, static_cast<uint64_t>(kDirectRamDescriptor))});
  filter->allow(SCMP_SYS(setitimer), {argument(0, SCMP_CMP_EQ, uint64_t{ITIMER_REAL})});
}

std::vector<sock_filter> filter_of(SandboxPolicy policy) {
  Filter filter;
  filter.allow(SCMP_SYS(munmap), {});
  switch (policy) {
    case SandboxPolicy::UserCode:
      allow_user_code(&filter);
      break;
    case SandboxPolicy::Deprivileged:
      allow_deprivileged(&filter);
      break;
  }
  return filter.compile();
}

// Not by the library, which frees memory after the filter holds: an allocator may give that back to
// the host just then, by a system call that the filter ends the process for.
bool install_filter(std::vector<sock_filter>& filter) {
  const sock_fprog program{static_cast<uint16_t>(filter.size()), filter.data()};
  return !filter.empty() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

// The C library has registered a structure of the thread's that the kernel writes to whenever it
// returns to us; the memory it lies in is about to go.
bool leave_restartable_sequences() {
  constexpr uint32_t kUnregister = 1;
  constexpr uint32_t kSignature = 0x53053053;
  constexpr uint32_t kOldestSize = 32;
  if (__rseq_size == 0) return true;
  auto* area = static_cast<uint8_t*>(__builtin_thread_pointer()) + __rseq_offset;
  return syscall(SYS_rseq, area, kOldestSize, kUnregister, kSignature) == 0 ||
         syscall(SYS_rseq, area, __rseq_size, kUnregister, kSignature) == 0;
}

void require(bool done, Failure failure) {
  if (!done) _exit(failure);
}

}  // namespace

void enter_direct_sandbox(const DirectSandbox& made) {
  // Until the tracer's own kill-on-exit holds, the parent's death is ours.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  require(getppid() == made.parent, kOrphaned);
  char traced = 0;
  require(read(made.go, &traced, 1) == 1, kOrphaned);
  // Out of reach of the terminal's signals; of the monitor's session, with which it is weighed.
  setpgid(0, 0);
  prctl(PR_SET_NAME, "ringshift-user");
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::vector<sock_filter> filter = filter_of(made.policy);
  require(keep_two_descriptors(made.ram, made.commands), kDescriptors);
  require(place_stub(), kStub);
  require(place_commands(), kCommands);
  require(leave_restartable_sequences(), kSequences);
  require(install_filter(filter), kFilter);
  asm volatile("xor %%ebp, %%ebp\n jmp *%0" : : "r"(kDirectStubAddress) : "memory");
  __builtin_unreachable();
}

std::string sandbox_failure(int exit_status) {
  switch (exit_status) {
    case kOrphaned:
      return "the monitor went away";
    case kDescriptors:
      return "descriptors cannot be rearranged (close_range)";
    case kStub:
      return "the stub's address is taken";
    case kCommands:
      return "the command page cannot be mapped";
    case kSequences:
      return "restartable sequences cannot be left";
    case kFilter:
      return "no seccomp filter can be installed";
    default:
      return "exit status " + std::to_string(exit_status);
  }
}

}  // namespace ringshift

#include "tests/differential/silicon.h"

#include <asm/ldt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift::differential {
namespace {

constexpr uint16_t kFlatSelector = 0x2b;  // Linux's user data segment
// In the local descriptor table, RPL 3.
constexpr uint16_t kNarrowStack = 0x7, kReadOnlyData = 0xf, kNarrowCode = 0x17, kLimitedCode = 0x1f,
                   kLimitedData = 0x27, kBasedData = 0x2f;
constexpr uint16_t kFlatCode = 0x23;  // Linux's 32-bit user code segment

// Shared by the assembly that enters and the signal handler. Offsets are in the assembly below.
struct alignas(64) Crossing {
  std::array<uint32_t, kGprCount> gpr{};            // 0
  uint64_t eflags = 0;                              // 32
  uint32_t target_eip = 0;                          // 40: far pointer, offset then selector
  uint32_t target_selector = kFlatCode;             // 44
  uint64_t host_rsp = 0;                            // 48
  uint16_t ss = kFlatSelector;                      // 56
  uint16_t es = kFlatSelector;                      // 58
  uint16_t ds = kFlatSelector;                      // 60
  alignas(64) std::array<uint8_t, 512> fxsave{};    // 64: loaded on the way in
  alignas(64) std::array<uint8_t, 512> host_fpu{};  // 576
};
static_assert(offsetof(Crossing, target_eip) == 40);
static_assert(offsetof(Crossing, fxsave) == 64);
static_assert(offsetof(Crossing, host_fpu) == 576);

// The handler finds its run here: a handler has no other way.
Crossing* g_crossing = nullptr;
Outcome* g_outcome = nullptr;

extern "C" void ringshift_test_cross(Crossing* crossing);
extern "C" const char ringshift_test_back[];

asm(R"(
  .text
  .globl ringshift_test_cross
  .hidden ringshift_test_cross
  .type ringshift_test_cross, @function
ringshift_test_cross:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rdi, %r15
  mov %rsp, 48(%r15)
  fxsave 576(%r15)
  mov 58(%r15), %es
  fxrstor 64(%r15)
  push 32(%r15)
  popfq
  mov 0(%r15), %eax
  mov 4(%r15), %ecx
  mov 8(%r15), %edx
  mov 12(%r15), %ebx
  mov 20(%r15), %ebp
  mov 24(%r15), %esi
  mov 28(%r15), %edi
  mov 60(%r15), %ds
  mov 56(%r15), %ss
  mov 16(%r15), %esp
  ljmp *40(%r15)
  .globl ringshift_test_back
  .hidden ringshift_test_back
ringshift_test_back:
  mov 48(%r15), %rsp
  fninit
  fxrstor 576(%r15)
  xor %eax, %eax
  mov %eax, %ds
  mov %eax, %es
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
  .size ringshift_test_cross, .-ringshift_test_cross
)");

constexpr greg_t kSelectorCs64 = 0x33;
constexpr greg_t kSelectorSs = 0x2b;
constexpr std::array<int, 5> kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

// async-signal-safe: takes the state down and returns to 64-bit code at the way back.
void on_fault(int signal, siginfo_t* info, void* context) {
  // The kernel leaves AC as it was: from here on nothing is to be checked.
  constexpr unsigned long long kAlignmentCheck = 1ULL << 18;
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~kAlignmentCheck);
  auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  auto& regs = machine->gregs;
  const auto cs = static_cast<uint16_t>(regs[REG_CSGSFS]);
  if (cs != kFlatCode && cs != kNarrowCode && cs != kLimitedCode) {  // a fault of our own
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
    return;
  }
  constexpr std::array<int, kGprCount> kOrder = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
                                                 REG_RSP, REG_RBP, REG_RSI, REG_RDI};
  for (size_t i = 0; i < kGprCount; ++i) {
    g_outcome->gpr[i] = static_cast<uint32_t>(regs[kOrder[i]]);
  }
  g_outcome->eip = static_cast<uint32_t>(regs[REG_RIP]);
  g_outcome->eflags = static_cast<uint32_t>(regs[REG_EFL]);
  g_outcome->vector = static_cast<uint32_t>(regs[REG_TRAPNO]);
  g_outcome->error_code = static_cast<uint32_t>(regs[REG_ERR]);
  g_outcome->cr2 = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(info->si_addr));
  std::memcpy(g_outcome->fxsave.data(), machine->fpregs, g_outcome->fxsave.size());
  regs[REG_RIP] = reinterpret_cast<greg_t>(ringshift_test_back);
  regs[REG_RSP] = static_cast<greg_t>(g_crossing->host_rsp);
  regs[REG_R15] = reinterpret_cast<greg_t>(g_crossing);
  regs[REG_EFL] = 0x202;
  regs[REG_CSGSFS] = kSelectorCs64 | (regs[REG_CSGSFS] & 0x0000ffffffff0000) | (kSelectorSs << 48);
}

bool map_at(uint32_t address, size_t bytes, std::string* error) {
  void* const wanted = reinterpret_cast<void*>(static_cast<uintptr_t>(address));
  void* got = mmap(wanted, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == wanted) return true;
  *error = std::string("cannot map low memory: ") + std::strerror(errno);
  return false;
}

// The segments of Segments that are not flat. False: the host has no modify_ldt.
bool set_descriptors() {
  user_desc stack{};
  stack.entry_number = kNarrowStack >> 3;
  stack.base_addr = kDataBase;
  stack.limit = kDataBytes - 1;
  stack.useable = 1;
  user_desc read_only{};
  read_only.entry_number = kReadOnlyData >> 3;
  read_only.limit = 0xfffff;
  read_only.seg_32bit = 1;
  read_only.limit_in_pages = 1;
  read_only.read_exec_only = 1;
  read_only.useable = 1;
  constexpr unsigned kCode = 2;
  user_desc narrow_code = stack;
  narrow_code.entry_number = kNarrowCode >> 3;
  narrow_code.base_addr = kCodeBase;
  narrow_code.limit = kCodeBytes - 1;
  narrow_code.contents = kCode;
  user_desc limited_data = read_only;
  limited_data.entry_number = kLimitedData >> 3;
  limited_data.limit = kDataEndPage;
  limited_data.read_exec_only = 0;
  user_desc limited_code = limited_data;
  limited_code.entry_number = kLimitedCode >> 3;
  limited_code.limit = kCodeEndPage;
  limited_code.contents = kCode;
  user_desc based_data = limited_data;
  based_data.entry_number = kBasedData >> 3;
  based_data.base_addr = kDataShift;
  based_data.limit = 0xfffff;
  constexpr int kWrite = 1;
  for (const user_desc& each :
       {stack, read_only, narrow_code, limited_data, limited_code, based_data}) {
    if (syscall(SYS_modify_ldt, kWrite, &each, sizeof(each)) != 0) return false;
  }
  return true;
}

uint8_t* low(uint32_t address) {
  return reinterpret_cast<uint8_t*>(static_cast<uintptr_t>(address));
}

// Handlers for the length of one run; those of the machines come back after it.
class Handlers {
 public:
  Handlers() {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &old_[i]);
  }
  ~Handlers() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old_[i], nullptr);
  }
  Handlers(const Handlers&) = delete;
  Handlers& operator=(const Handlers&) = delete;

 private:
  std::array<struct sigaction, kSignals.size()> old_{};
};

void set_up_alternate_stack() {
  stack_t now{};
  sigaltstack(nullptr, &now);
  if ((now.ss_flags & SS_DISABLE) == 0) return;
  constexpr size_t kBytes = 64 * 1024;
  now = {};
  now.ss_sp = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  now.ss_size = kBytes;
  sigaltstack(&now, nullptr);
}

}  // namespace

std::unique_ptr<Silicon> Silicon::create(std::string* error) {
  if (!map_at(kCodeBase, kCodeBytes, error) || !map_at(kDataBase, kDataBytes, error)) {
    return nullptr;
  }
  mprotect(low(kCodeBase), kCodeBytes, PROT_READ | PROT_WRITE | PROT_EXEC);
  set_up_alternate_stack();
  auto silicon = std::unique_ptr<Silicon>(new Silicon);
  silicon->has_segments_ = set_descriptors();
  return silicon;
}

Silicon::~Silicon() {
  munmap(low(kCodeBase), kCodeBytes);
  munmap(low(kDataBase), kDataBytes);
}

Outcome Silicon::run(const Start& start, std::span<const uint8_t> code,
                     std::span<const uint8_t> data) {
  Outcome outcome;
  Crossing crossing;
  crossing.gpr = start.gpr;
  crossing.eflags = start.eflags;
  crossing.target_eip = start.eip;
  crossing.fxsave = start.fxsave;
  if (start.segments == Segments::NarrowStack) crossing.ss = kNarrowStack;
  if (start.segments == Segments::ReadOnlyEs) crossing.es = kReadOnlyData;
  if (start.segments == Segments::Limited) {
    crossing.ds = crossing.es = crossing.ss = kLimitedData;
    crossing.target_selector = kLimitedCode;
  }
  if (start.segments == Segments::Based) {
    crossing.ds = kBasedData;
    crossing.es = 0;
  }
  if (start.segments == Segments::NarrowCode) {
    crossing.ds = crossing.es = crossing.ss = kNarrowStack;
    crossing.target_selector = kNarrowCode;
  }
  std::memset(low(kCodeBase), 0xf4, kCodeBytes);
  std::memcpy(low(code_base(start.segments) + start.eip), code.data(), code.size());
  std::memcpy(low(kDataBase), data.data(), data.size());
  mprotect(low(kHole), 0x1000, PROT_NONE);
  mprotect(low(kReadOnly), 0x1000, PROT_READ);
  g_crossing = &crossing;
  g_outcome = &outcome;
  {
    const Handlers handlers;
    ringshift_test_cross(&crossing);
  }
  mprotect(low(kHole), 0x2000, PROT_READ | PROT_WRITE);
  outcome.data.assign(low(kDataBase), low(kDataBase) + kDataBytes);
  constexpr uint32_t kGeneralProtection = 13, kPageFault = 14;
  // While the host moves a page to another frame, a write to it faults as if it were absent, and a
  // page that may not be written is not waited for.
  if (outcome.vector == kPageFault && outcome.cr2 - kReadOnly < kPageSize) {
    outcome.error_code |= kPageFaultPresent;
  }
  const uint32_t end = start.eip + static_cast<uint32_t>(code.size() - kEndBytes.size());
  if (outcome.vector == kGeneralProtection && outcome.eip == end) {
    outcome.vector = kStopped;
    outcome.error_code = 0;
  }
  return outcome;
}

}  // namespace ringshift::differential

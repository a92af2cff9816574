#include "monitor/lab/matrix/silicon.h"

#include <cpuid.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>

namespace ringshift::lab {
namespace {

// The child's report, in memory that both processes see.
struct Report {
  volatile uint32_t stage = 0;
  int32_t error = 0;
  uint32_t signal = 0;
  uint32_t vector = 0;
  uint32_t error_code = 0;
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint32_t, kGprCount> gpr{};
  std::array<uint16_t, kSegmentCount> selector{};
  std::array<uint8_t, kDataBytes> data{};
};
constexpr uint32_t kMapped = 1, kJumped = 2, kStopped = 3;

struct FarPointer {
  uint32_t offset;
  uint16_t selector;
} __attribute__((packed));

constexpr uint16_t kHostCode32 = 0x23, kHostData = 0x2b;
constexpr unsigned kSeconds = 3;
constexpr std::array<int, 6> kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

// The handler finds its report here. It may not use thread-local storage: the code it ends may have
// loaded FS.
Report* g_report = nullptr;
volatile char g_dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;

template <typename Selector>
[[gnu::always_inline]] inline void read_selectors(Selector* out) {
  asm volatile("mov %%es, %0" : "=r"(out[0]));
  asm volatile("mov %%ds, %0" : "=r"(out[3]));
  asm volatile("mov %%fs, %0" : "=r"(out[4]));
  asm volatile("mov %%gs, %0" : "=r"(out[5]));
}

// async-signal-safe: takes the state down and ends the process.
[[noreturn]] __attribute__((no_stack_protector)) void on_signal(int signal, siginfo_t*,
                                                                void* context) {
  g_dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
  const auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Report& report = *g_report;
  read_selectors(report.selector.data());
  report.selector[1] = static_cast<uint16_t>(regs[REG_CSGSFS]);
  report.selector[2] = static_cast<uint16_t>(static_cast<uint64_t>(regs[REG_CSGSFS]) >> 48);
  constexpr std::array<int, kGprCount> kOrder = {REG_RAX, REG_RCX, REG_RDX, REG_RBX,
                                                 REG_RSP, REG_RBP, REG_RSI, REG_RDI};
  for (size_t i = 0; i < kGprCount; ++i) report.gpr[i] = static_cast<uint32_t>(regs[kOrder[i]]);
  report.eip = static_cast<uint32_t>(regs[REG_RIP]);
  report.eflags = static_cast<uint32_t>(regs[REG_EFL]);
  report.signal = static_cast<uint32_t>(signal);
  report.vector = static_cast<uint32_t>(regs[REG_TRAPNO]);
  report.error_code = static_cast<uint32_t>(regs[REG_ERR]);
  const auto* data = reinterpret_cast<const uint8_t*>(static_cast<uintptr_t>(kDataBase));
  for (size_t i = 0; i < kDataBytes; ++i) report.data[i] = data[i];
  report.stage = kStopped;
  while (true) {
    long number = SYS_exit_group;
    asm volatile("syscall" : "+a"(number) : "D"(0) : "rcx", "r11", "memory");
  }
}

bool map_at(uint32_t address, std::span<const uint8_t> bytes, int protection) {
  void* wanted = reinterpret_cast<void*>(static_cast<uintptr_t>(address));
  void* got = mmap(wanted, bytes.size(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != wanted) return false;
  std::memcpy(got, bytes.data(), bytes.size());
  return mprotect(got, bytes.size(), protection) == 0;
}

void catch_signals() {
  constexpr size_t kStackBytes = 64 * 1024;
  stack_t stack{};
  stack.ss_sp =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, nullptr);
  for (int signal : kSignals) {
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(signal, &action, nullptr);
  }
}

// Registers from the array, flags of a process, and away. Nothing comes back.
[[noreturn]] void jump(const std::array<uint32_t, kGprCount>& gpr) {
  static FarPointer destination;
  destination = {kCodeBase, kHostCode32};
  g_dispatch = SYSCALL_DISPATCH_FILTER_BLOCK;
  register const void* from asm("r8") = gpr.data();
  register const FarPointer* to asm("r9") = &destination;
  asm volatile(
      "mov %%eax, %%ds\n\t"
      "mov %%eax, %%es\n\t"
      "push $0x202\n\t"
      "popfq\n\t"
      "mov 4(%%r8), %%ecx\n\t"
      "mov 8(%%r8), %%edx\n\t"
      "mov 12(%%r8), %%ebx\n\t"
      "mov 20(%%r8), %%ebp\n\t"
      "mov 24(%%r8), %%esi\n\t"
      "mov 28(%%r8), %%edi\n\t"
      "mov 0(%%r8), %%eax\n\t"
      "mov 16(%%r8), %%esp\n\t"
      "ljmp *(%%r9)\n\t"
      :
      : "r"(from), "r"(to), "a"(static_cast<uint32_t>(kHostData))
      : "memory");
  __builtin_unreachable();
}

struct Request {
  std::array<uint32_t, kGprCount> gpr{};
  std::vector<uint8_t> code;
  std::vector<uint8_t> data;
  bool needs_dispatch = false;
};

[[noreturn]] void be_the_child(const Request& request, Report* report) {
  g_report = report;
  rlimit nothing{0, 0};
  setrlimit(RLIMIT_CORE, &nothing);
  alarm(kSeconds);
  if (!map_at(kCodeBase, request.code, PROT_READ | PROT_EXEC) ||
      !map_at(kDataBase, request.data, PROT_READ | PROT_WRITE)) {
    report->error = errno;
    _exit(0);
  }
  report->stage = kMapped;
  catch_signals();
  const bool dispatching = prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0,
                                 const_cast<char*>(&g_dispatch)) == 0;
  if (request.needs_dispatch && !dispatching) _exit(0);
  report->stage = kJumped;
  jump(request.gpr);
}

std::string problem_of(const Report& report) {
  switch (report.stage) {
    case 0:
      return "low memory cannot be mapped: " + std::string(std::strerror(report.error));
    case kMapped:
      return "this kernel cannot catch system calls of 32-bit code (no syscall user dispatch)";
    default:
      return "the process ended without a signal we could catch";
  }
}

// The child's report, or one whose stage says how far it came.
bool run_child(const Request& request, Report* out) {
  void* shared =
      mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return false;
  auto* report = new (shared) Report;
  const pid_t child = fork();
  if (child == 0) be_the_child(request, report);
  if (child > 0) waitpid(child, nullptr, 0);
  std::memcpy(static_cast<void*>(out), shared, sizeof(Report));
  munmap(shared, sizeof(Report));
  return child > 0;
}

Request request_of(const Instruction& instruction) {
  Request request;
  request.gpr = initial_registers(instruction);
  request.code = initial_code(instruction);
  request.data = initial_data(instruction);
  request.needs_dispatch = instruction.enters_host_kernel;
  return request;
}

}  // namespace

std::array<uint32_t, kGprCount> initial_registers(const Instruction& instruction) {
  const auto& [eax, ecx, edx] = instruction.registers;
  return {eax, ecx, edx, kOperand, kStack, kOperand + 0x100, kOperand + 0x200, kOperand + 0x300};
}

std::vector<uint8_t> initial_data(const Instruction& instruction) {
  std::vector<uint8_t> data(kDataBytes, 0xcc);
  const auto put = [&](uint32_t at, const std::vector<uint32_t>& words) {
    if (!words.empty()) std::memcpy(&data[at - kDataBase], words.data(), words.size() * 4);
  };
  put(kStack, instruction.on_stack);
  put(kOperand, instruction.in_operand);
  return data;
}

std::vector<uint8_t> initial_code(const Instruction& instruction) {
  std::vector<uint8_t> code(kCodeBytes, 0xf4);
  std::copy(instruction.code.begin(), instruction.code.end(), code.begin());
  const auto end = code.begin() + static_cast<std::ptrdiff_t>(instruction.code.size());
  std::copy(kEndBytes.begin(), kEndBytes.end(), end);
  std::copy(kEndBytes.begin(), kEndBytes.end(), code.begin() + (kTarget - kCodeBase));
  return code;
}

SiliconOutcome run_on_silicon(const Instruction& instruction) {
  SiliconOutcome outcome;
  Report report;
  if (!run_child(request_of(instruction), &report)) {
    outcome.problem = "no child process to be had";
    return outcome;
  }
  if (report.stage != kStopped) {
    outcome.problem = problem_of(report);
    return outcome;
  }
  outcome.ran = true;
  outcome.is_system_call = report.signal == SIGSYS;
  outcome.vector = report.vector;
  outcome.error_code = report.error_code;
  outcome.eip = report.eip;
  outcome.eflags = report.eflags;
  outcome.gpr = report.gpr;
  outcome.selector = report.selector;
  outcome.data.assign(report.data.begin(), report.data.end());
  constexpr uint32_t kGeneralProtection = 13;
  const uint32_t next = kCodeBase + static_cast<uint32_t>(instruction.code.size());
  const bool at_an_end = report.eip == next || report.eip == kTarget;
  outcome.trapped = outcome.is_system_call || report.signal == SIGTRAP || !at_an_end ||
                    report.vector != kGeneralProtection;
  return outcome;
}

std::string why_no_silicon() {
  Instruction nothing;
  nothing.code = {0x90};
  const SiliconOutcome outcome = run_on_silicon(nothing);
  if (!outcome.ran) return outcome.problem;
  return outcome.trapped ? "32-bit code does not run through CS 0x23 here" : "";
}

uint32_t cycles_on_silicon(const Instruction& instruction) {
  constexpr uint32_t kTimes = 32;
  Instruction loop = instruction;
  // rdtsc; mov ebp, eax; the instruction so many times; rdtsc; sub eax, ebp
  loop.code = {0x0f, 0x31, 0x89, 0xc5};
  for (uint32_t i = 0; i < kTimes; ++i) {
    loop.code.insert(loop.code.end(), instruction.code.begin(), instruction.code.end());
  }
  loop.code.insert(loop.code.end(), {0x0f, 0x31, 0x29, 0xe8});
  const SiliconOutcome outcome = run_on_silicon(loop);
  return outcome.ran && !outcome.trapped ? outcome.gpr[0] / kTimes : 0;
}

bool processor_has_umip() {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr uint32_t kLeaf = 7, kUmip = 1U << 2;
  return __get_cpuid_count(kLeaf, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & kUmip) != 0;
}

}  // namespace ringshift::lab

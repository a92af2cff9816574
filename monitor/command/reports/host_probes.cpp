#include "monitor/command/reports/host_probes.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr size_t kSamples = 301;
constexpr unsigned kChildSeconds = 5;

uint64_t median(std::vector<uint64_t> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// async-signal-safe. Steps over the two-byte load that faulted.
void on_probe_fault(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2;
}

// mov eax, [rax]: two bytes.
void load_from_nowhere() {
  uint64_t address = 0;
  asm volatile(".byte 0x8b, 0x00" : "+a"(address) : : "memory");
}

// 64-bit code in low memory that jumps to the 32-bit code behind it, which jumps back. Only RSP is
// lost on the way (its upper half), so it waits in memory, which the caller adds as `data`.
class CompatibilityCode {
 public:
  CompatibilityCode(uint32_t code, uint32_t data) : code_(code), data_(data) {}

  std::vector<uint8_t> make() {
    put({0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57});  // push rbx, rbp, r12-r15
    put({0x48, 0x89, 0x25});                                            // mov [saved_rsp], rsp
    put_relative(data_);
    put({0xff, 0x2d});  // jmp far [destination]
    put_relative(data_ + 8);
    destination_ = here();
    put({0xb8, 42, 0, 0, 0});  // 32-bit: mov eax, 42
    put({0xea});               // 32-bit: jmp 0x33:after
    put_value(here() + 6);
    put({0x33, 0x00});
    put({0x48, 0x8b, 0x25});  // mov rsp, [saved_rsp]
    put_relative(data_);
    put({0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3});  // pop all, ret
    return bytes_;
  }
  [[nodiscard]] uint32_t destination() const { return destination_; }

 private:
  [[nodiscard]] uint32_t here() const { return code_ + static_cast<uint32_t>(bytes_.size()); }
  void put(std::initializer_list<uint8_t> more) { bytes_.insert(bytes_.end(), more); }
  void put_value(uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes_.push_back(static_cast<uint8_t>(value >> shift));
    }
  }
  void put_relative(uint32_t address) { put_value(address - (here() + 4)); }

  uint32_t code_;
  uint32_t data_;
  uint32_t destination_ = 0;
  std::vector<uint8_t> bytes_;
};

[[noreturn]] void be_the_child(const std::function<std::optional<uint64_t>()>& experiment,
                               int to_parent) {
  alarm(kChildSeconds);
  const std::optional<uint64_t> found = experiment();
  const bool told =
      found && write(to_parent, &*found, sizeof(*found)) == static_cast<ssize_t>(sizeof(*found));
  _exit(told ? 0 : 1);
}

}  // namespace

std::optional<uint64_t> ask_child(const std::function<std::optional<uint64_t>()>& experiment) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) be_the_child(experiment, ends[1]);
  close(ends[1]);
  std::optional<uint64_t> found;
  if (child > 0) {
    uint64_t value = 0;
    if (read(ends[0], &value, sizeof(value)) == static_cast<ssize_t>(sizeof(value))) found = value;
    waitpid(child, nullptr, 0);
  }
  close(ends[0]);
  return found;
}

std::optional<uint64_t> measure_signal() {
  struct sigaction action {};
  action.sa_sigaction = on_probe_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  if (sigaction(SIGSEGV, &action, nullptr) != 0) return std::nullopt;
  std::vector<uint64_t> samples(kSamples);
  for (uint64_t& sample : samples) {
    const Nanoseconds before = HostClock::monotonic();
    load_from_nowhere();
    sample = static_cast<uint64_t>(HostClock::monotonic() - before);
  }
  return median(samples);
}

std::optional<uint64_t> measure_mapping() {
  constexpr uint64_t kPages = 512;
  int descriptor = -1;
  HostAddress window;
  if (!create_memfd("ringshift-doctor", kPages * kPageSize, &descriptor).ok() ||
      !reserve(kPages * kPageSize, kPageSize, &window).ok()) {
    return std::nullopt;
  }
  std::vector<uint64_t> samples(kSamples);
  for (uint64_t page = 0; page < samples.size(); ++page) {
    const HostAddress at = window + page * kPageSize;
    const Nanoseconds before = HostClock::monotonic();
    // Neighbours swapped, so that no two mappings merge.
    if (!map_fixed(at, descriptor, (page ^ 1U) * kPageSize, kPageSize, HostAccess::ReadWrite)
             .ok()) {
      return std::nullopt;
    }
    samples[page] = static_cast<uint64_t>(HostClock::monotonic() - before);
  }
  return median(samples);
}

std::optional<uint64_t> run_compatibility_mode() {
  void* mapped = mmap(nullptr, 2 * kPageSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (mapped == MAP_FAILED) return std::nullopt;
  auto* bytes = static_cast<uint8_t*>(mapped);
  const auto base = static_cast<uint32_t>(reinterpret_cast<uint64_t>(mapped));
  CompatibilityCode code(base, base + kPageSize);
  const std::vector<uint8_t> made = code.make();
  std::memcpy(bytes, made.data(), made.size());
  // The operand of the far jump: offset, then selector (SDM 2A JMP, m16:32).
  constexpr uint16_t kUserCode32 = 0x23;
  const uint32_t destination = code.destination();
  std::memcpy(bytes + kPageSize + 8, &destination, sizeof(destination));
  std::memcpy(bytes + kPageSize + 12, &kUserCode32, sizeof(kUserCode32));
  if (mprotect(mapped, kPageSize, PROT_READ | PROT_EXEC) != 0) return std::nullopt;
  const uint64_t found = reinterpret_cast<uint64_t (*)()>(mapped)();
  if (static_cast<uint32_t>(found) != 42) return std::nullopt;
  return found;
}

std::optional<uint64_t> set_cpuid_faulting() {
  if (syscall(SYS_arch_prctl, kArchSetCpuid, 0) != 0) return std::nullopt;
  return 1;
}

}  // namespace ringshift

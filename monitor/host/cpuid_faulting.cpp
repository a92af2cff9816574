#include "monitor/host/cpuid_faulting.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace ringshift {
namespace {

// How often something in this thread has executed CPUID while it faulted.
constinit thread_local std::atomic<uint32_t> t_let_through{0};
// A signal each: a library that looks once is no reason to give up, one that keeps looking is.
constexpr uint32_t kMostLetThrough = 16;

bool set_cpuid(unsigned long allowed) {
  return syscall(SYS_arch_prctl, kArchSetCpuid, allowed) == 0;
}

}  // namespace

void CpuidFaulting::begin() {
  is_of_use_ = t_let_through.load(std::memory_order_relaxed) < kMostLetThrough && set_cpuid(0);
  is_on_ = is_of_use_;
}

void CpuidFaulting::end() {
  if (!is_on_) return;
  is_on_ = false;
  set_cpuid(1);
}

bool CpuidFaulting::let_through() {
  t_let_through.fetch_add(1, std::memory_order_relaxed);
  return set_cpuid(1);
}

bool CpuidFaulting::is_cpuid(uint64_t host_pc) {
  const auto* bytes = reinterpret_cast<const volatile uint8_t*>(host_pc);
  return bytes[0] == 0x0f && bytes[1] == 0xa2;
}

}  // namespace ringshift

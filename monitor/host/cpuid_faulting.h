// CpuidFaulting: makes CPUID fault in the vCPU thread, too, while it hands over to processes of
// user code, where it does. The host kernel writes an MSR at every switch between a thread with and
// one without; on a host that is a virtual machine that is an exit, some 8 us
// (docs/decisions/0010-cpuid-faults-in-the-vcpu-thread-too.md). Owns: that attribute of the vCPU
// thread.
#pragma once

#include <cstdint>

namespace ringshift {

// arch_prctl's request (Linux, arch/x86/include/uapi/asm/prctl.h); 0: CPUID faults, 1: it does not.
inline constexpr int kArchSetCpuid = 0x1012;

class CpuidFaulting {
 public:
  CpuidFaulting() = default;
  ~CpuidFaulting() { end(); }
  CpuidFaulting(const CpuidFaulting&) = delete;
  CpuidFaulting& operator=(const CpuidFaulting&) = delete;

  // A process in which CPUID faults is about to run, and this thread to wait for it. `now` is the
  // host's TSC.
  void before_handing_over(uint64_t now) {
    last_used_ = now;
    if (!is_on_ && is_of_use_) begin();
  }
  // This thread is at work by itself, or about to sleep: others will run on its CPU.
  void while_alone(uint64_t now) {
    if (is_on_ && now - last_used_ > kAloneCycles) end();
  }
  void end();
  [[nodiscard]] bool is_on() const { return is_on_; }

  // Some library has executed CPUID in this thread, and it has faulted. It no longer does.
  // async-signal-safe. False: the host refused.
  static bool let_through();
  // Is the instruction at `host_pc`, an address that has just been executed, CPUID (SDM 2A)?
  [[nodiscard]] static bool is_cpuid(uint64_t host_pc);

  // Some 20 ms: a guest's timer interrupts come more often.
  static constexpr uint64_t kAloneCycles = 50'000'000;

 private:
  void begin();

  bool is_on_ = false;
  bool is_of_use_ = true;   // false: the host refused, or something here needs CPUID
  uint64_t last_used_ = 0;  // host TSC
};

}  // namespace ringshift

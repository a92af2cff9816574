// SharedCpu: keeps the vCPU thread and the process that runs guest user code on one host CPU. They
// never run at the same time, and handing over to an idle CPU costs an interrupt between CPUs and a
// wake-up (docs/decisions/0009-one-host-cpu-for-the-vcpu-and-its-processes.md). Owns: the CPU
// affinity of the vCPU thread, and of processes while they share with it.
#pragma once

#include <sched.h>

#include <cstdint>
#include <functional>

namespace ringshift {

// The CPUs on which a process may run, as far as SharedCpu knows: one object for each process.
struct CpuPlacement {
  int cpu = -1;  // host CPU number; -1: wherever the host lets it
  // Has the process run there only from now on. False: the host refuses.
  std::function<bool(const cpu_set_t&)> confine;
};

class SharedCpu {
 public:
  // Remembers where this thread may run. With one CPU, or where the host does not say, there is
  // nothing to do and nothing is done.
  SharedCpu();
  ~SharedCpu() { release(); }
  SharedCpu(const SharedCpu&) = delete;
  SharedCpu& operator=(const SharedCpu&) = delete;

  // A process is about to run, and this thread to wait for it. `now` is the host's TSC.
  void before_handing_over(CpuPlacement* placement, uint64_t now);
  // This thread is at work by itself, or about to sleep: it does not stay tied for long.
  void while_alone(uint64_t now) {
    if (cpu_ >= 0 && now - tied_since_ > kTiedCycles) release();
  }
  [[nodiscard]] bool is_tied() const { return cpu_ >= 0; }

  // How long one choice holds, about a quarter of a second. Then one hand-over goes wherever the
  // host likes, so that a CPU that has become busy is left.
  static constexpr uint64_t kTiedCycles = 600'000'000;

 private:
  void release();

  cpu_set_t allowed_{};  // of this thread, when it is not tied
  bool is_of_use_ = false;
  bool ran_freely_ = false;  // since it was last tied
  int cpu_ = -1;             // that both are tied to; -1: not tied
  uint64_t tied_since_ = 0;  // host TSC
};

// This thread, and those that it starts from now on, run on that CPU only. False: the host refuses.
[[nodiscard]] bool move_to_cpu(int cpu);

}  // namespace ringshift

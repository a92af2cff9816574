#include "monitor/shared_cpu.h"

namespace ringshift {
namespace {

constexpr pid_t kThisThread = 0;

bool is_only(const cpu_set_t& set, int cpu) { return CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set); }

}  // namespace

SharedCpu::SharedCpu() {
  is_of_use_ =
      sched_getaffinity(kThisThread, sizeof allowed_, &allowed_) == 0 && CPU_COUNT(&allowed_) > 1;
}

bool SharedCpu::tie(pid_t process, int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return sched_setaffinity(process, sizeof one, &one) == 0;
}

bool SharedCpu::untie(pid_t process) {
  return sched_setaffinity(process, sizeof allowed_, &allowed_) == 0;
}

void SharedCpu::release() {
  if (cpu_ < 0) return;
  cpu_set_t found;
  // Somebody else's choice since (taskset) stands.
  if (sched_getaffinity(kThisThread, sizeof found, &found) == 0 && !is_only(found, cpu_)) {
    allowed_ = found;
    is_of_use_ = CPU_COUNT(&allowed_) > 1;
  } else {
    is_of_use_ = untie(kThisThread) && is_of_use_;
  }
  cpu_ = -1;
  ran_freely_ = false;
}

void SharedCpu::before_handing_over(pid_t process, CpuPlacement* placement, uint64_t now) {
  while_alone(now);
  if (!is_of_use_) return;
  if (cpu_ < 0 && ran_freely_) {
    const int here = sched_getcpu();
    // A host that refuses is not asked again.
    is_of_use_ = here >= 0 && here < CPU_SETSIZE && tie(kThisThread, here);
    if (is_of_use_) {
      cpu_ = here;
      tied_since_ = now;
    }
  }
  ran_freely_ = cpu_ < 0;
  if (placement->cpu == cpu_) return;
  const bool placed = cpu_ < 0 ? untie(process) : tie(process, cpu_);
  if (placed) placement->cpu = cpu_;
}

}  // namespace ringshift

#include "monitor/host/shared_cpu.h"

namespace ringshift {
namespace {

constexpr pid_t kThisThread = 0;

cpu_set_t only(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return set;
}

bool confine_this_thread(const cpu_set_t& set) {
  return sched_setaffinity(kThisThread, sizeof set, &set) == 0;
}

}  // namespace

SharedCpu::SharedCpu() {
  is_of_use_ =
      sched_getaffinity(kThisThread, sizeof allowed_, &allowed_) == 0 && CPU_COUNT(&allowed_) > 1;
}

void SharedCpu::release() {
  if (cpu_ < 0) return;
  const cpu_set_t tied = only(cpu_);
  cpu_set_t found;
  // Somebody else's choice since (taskset) stands.
  if (sched_getaffinity(kThisThread, sizeof found, &found) == 0 && !CPU_EQUAL(&found, &tied)) {
    allowed_ = found;
    is_of_use_ = CPU_COUNT(&allowed_) > 1;
  } else {
    is_of_use_ = confine_this_thread(allowed_);
  }
  cpu_ = -1;
  ran_freely_ = false;
}

void SharedCpu::before_handing_over(CpuPlacement* placement, uint64_t now) {
  while_alone(now);
  if (!is_of_use_) return;
  if (cpu_ < 0 && ran_freely_) {
    const int here = sched_getcpu();
    // A host that refuses is not asked again.
    is_of_use_ = here >= 0 && here < CPU_SETSIZE && confine_this_thread(only(here));
    if (is_of_use_) {
      cpu_ = here;
      tied_since_ = now;
    }
  }
  ran_freely_ = cpu_ < 0;
  if (placement->cpu == cpu_) return;
  if (placement->confine(cpu_ < 0 ? allowed_ : only(cpu_))) placement->cpu = cpu_;
}

bool move_to_cpu(int cpu) {
  return cpu >= 0 && cpu < CPU_SETSIZE && confine_this_thread(only(cpu));
}

}  // namespace ringshift

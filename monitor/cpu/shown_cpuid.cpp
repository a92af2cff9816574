#include "monitor/cpu/shown_cpuid.h"

#include "monitor/cpu/control_registers.h"

namespace ringshift {
namespace {

constexpr uint32_t kExtendedFeatures = 0x80000001U;
constexpr uint32_t kFeatureApic = 1U << 9;        // leaf 1 EDX
constexpr uint32_t kFeatureNoExecute = 1U << 20;  // leaf 80000001H EDX
constexpr uint32_t kLimitedLeaves = 2;

// A feature that the guest has switched off looks as if it were not there (SDM 3A 10.4.3, SDM 4
// table 2-2).
void hide_disabled(const CpuContext& cpu, uint32_t leaf, CpuidResult* result) {
  const uint64_t misc_enable = cpu.state.misc_enable;
  if (leaf == 0 && (misc_enable & kMiscEnableLimitCpuid) != 0) result->eax = kLimitedLeaves;
  if (leaf == 1 && cpu.apic != nullptr && !cpu.apic->enabled()) result->edx &= ~kFeatureApic;
  if (leaf == kExtendedFeatures && (misc_enable & kMiscEnableNoExecuteOff) != 0) {
    result->edx &= ~kFeatureNoExecute;
  }
}

}  // namespace

CpuidResult shown_cpuid(const CpuContext& cpu, uint32_t leaf, uint32_t subleaf) {
  CpuidResult result = cpu.model.cpuid(leaf, subleaf);
  hide_disabled(cpu, leaf, &result);
  return result;
}

}  // namespace ringshift

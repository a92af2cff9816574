// Shown CPUID: what CPUID answers now: the leaves of the model, less what the guest has switched
// off. See SDM 2A CPUID.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/cpu_model.h"

namespace ringshift {

[[nodiscard]] CpuidResult shown_cpuid(const CpuContext& cpu, uint32_t leaf, uint32_t subleaf);
// What of the processor's state an answer depends on: while this is the same, so are all answers.
[[nodiscard]] inline uint64_t cpuid_state(const CpuContext& cpu) {
  constexpr unsigned kUnusedBit = 63;  // of IA32_MISC_ENABLE
  const bool hides_apic = cpu.apic != nullptr && !cpu.apic->enabled();
  return cpu.state.misc_enable ^ uint64_t { hides_apic ? 1U : 0U } << kUnusedBit;
}

}  // namespace ringshift

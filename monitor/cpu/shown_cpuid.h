// Shown CPUID: the present answers of CPUID: the leaves of the model, less the features that the
// guest has switched off. See SDM 2A CPUID.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/cpu_model.h"

namespace ringshift {

[[nodiscard]] CpuidResult shown_cpuid(const CpuContext& cpu, uint32_t leaf, uint32_t subleaf);
// The part of the processor's state that answers depend on: while this is the same, so are all
// answers.
[[nodiscard]] inline uint64_t cpuid_state(const CpuContext& cpu) {
  constexpr unsigned kUnusedBit = 63;  // of IA32_MISC_ENABLE
  const bool hides_apic = cpu.apic != nullptr && !cpu.apic->enabled();
  return cpu.state.misc_enable ^ uint64_t { hides_apic ? 1U : 0U } << kUnusedBit;
}

}  // namespace ringshift

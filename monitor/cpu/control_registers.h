// Control, debug and model-specific registers: the values that a write may hold, and the state that
// it invalidates. SDM 3A 2.5, 4.4.1 (PDPTE loads), 17.2; SDM 4 for MSRs.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

// Each checks reserved bits and illegal combinations (#GP(0)), loads PDPTEs where due, updates the
// state, flushes LinearMemory and tells cpu.paging.
[[nodiscard]] MaybeFault write_cr0(CpuContext& cpu, uint32_t value);
[[nodiscard]] MaybeFault write_cr3(CpuContext& cpu, uint32_t value);
[[nodiscard]] MaybeFault write_cr4(CpuContext& cpu, uint32_t value);
void invalidate_page(CpuContext& cpu, GuestVirtual address);  // INVLPG

// index 0..7; DR4/DR5 alias DR6/DR7 unless CR4.DE (#UD); DR7.GD raises #DB.
[[nodiscard]] MaybeFault read_debug_register(CpuContext& cpu, unsigned index, uint32_t* value);
[[nodiscard]] MaybeFault write_debug_register(CpuContext& cpu, unsigned index, uint32_t value);

// Unknown MSRs raise #GP(0), as on hardware; kernels probe with exception tables.
[[nodiscard]] MaybeFault read_msr(CpuContext& cpu, uint32_t index, uint64_t* value);
[[nodiscard]] MaybeFault write_msr(CpuContext& cpu, uint32_t index, uint64_t value);

// Bits of IA32_MISC_ENABLE by which CPUID answers (SDM 4 table 2-2).
inline constexpr uint64_t kMiscEnableLimitCpuid = 1ULL << 22;
inline constexpr uint64_t kMiscEnableNoExecuteOff = 1ULL << 34;

// The name of a register that no sequence of the writes above can have brought to its value; null
// if there is none. For state that comes from elsewhere.
[[nodiscard]] const char* impossible_control_register(const GuestState& state,
                                                      const CpuModel& model);
[[nodiscard]] const char* impossible_msr(const GuestState& state, const CpuModel& model);

// Power-on state (SDM 3A table 9-1), CS:EIP = F000:FFF0.
void reset(GuestState& state);

}  // namespace ringshift

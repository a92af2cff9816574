// CpuModel: the processor that the guest is shown: CPUID leaves and the feature bits that gate
// instructions. Owns: a constant table. See docs/limitations.md for the omissions and their
// reasons.
#pragma once

#include <array>
#include <cstdint>

namespace ringshift {

struct CpuidResult {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// BMI1 is offered where the host has it: its TZCNT is an older instruction's encoding, which such a
// host cannot be made to run as the older one.
[[nodiscard]] inline bool host_has_bmi1() { return __builtin_cpu_supports("bmi") != 0; }

// The bits of MXCSR that the host's processor has: as FXSAVE shows them (SDM 1 11.6.6). AMD's have
// one more than Intel's.
[[nodiscard]] uint32_t host_mxcsr_mask();

// The hypervisor interface that the guest is shown (docs/paravirt.md).
enum class Paravirt : uint8_t { None, Kvm, Vmware, Ringshift };

// The interface of our own, as CPUID tells of it (docs/paravirt.md): its version, and the first of
// its registers.
inline constexpr uint32_t kRingshiftVersion = 1, kRingshiftMsrs = 0x52530000;

struct CpuModel {
  bool pae = true;
  bool nx = true;
  bool sse42 = true;      // SSE3..SSE4.2, POPCNT; off gives a Pentium-III class CPU with SSE only
  bool meltdown = false;  // true: report a processor that needs page-table isolation
  bool sysenter = true;
  bool apic = false;            // there is a local APIC on the board
  bool bmi1 = host_has_bmi1();  // TZCNT, ANDN, BEXTR, BLSI, BLSMSK, BLSR; never on without the host
  uint64_t tsc_hz = 0;          // 0: unknown; not reported
  Paravirt paravirt = Paravirt::None;  // others know tsc_hz
  bool steal_time = false;             // the machine can tell how much of it others have had
  bool tsc_is_stable = false;          // the host's time-stamp counter never changes its rate

  // The bits of MXCSR it has. DAZ came with SSE2 (SDM 1 11.6.6).
  [[nodiscard]] uint32_t mxcsr_mask() const { return sse42 ? 0xffffU : 0xffbfU; }
  // SDM 2A CPUID. Also the PAE/NX/... bits above decide CR4 and EFER reserved bits.
  [[nodiscard]] CpuidResult cpuid(uint32_t leaf, uint32_t subleaf) const;
  // Does the answer to this leaf depend on the subleaf?
  [[nodiscard]] static bool has_subleaves(uint32_t leaf);
};

}  // namespace ringshift

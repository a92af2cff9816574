// Descriptor access: finding a descriptor in GDT or LDT, and the forms of selectors and error
// codes. Table accesses are supervisor accesses whatever the CPL (SDM 3A 5.12). Keeps: V1. See
// docs/faults-and-exits.md.
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/segments/segmentation.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

// System descriptor types, SDM 3A table 3-2. Bit 3 is the size: 0 for the 16-bit kind.
inline constexpr unsigned kTypeTssAvailable16 = 1;
inline constexpr unsigned kTypeLdt = 2;
inline constexpr unsigned kTypeTssBusy16 = 3;
inline constexpr unsigned kTypeCallGate16 = 4;
inline constexpr unsigned kTypeTaskGate = 5;
inline constexpr unsigned kTypeInterruptGate16 = 6;
inline constexpr unsigned kTypeTrapGate16 = 7;
inline constexpr unsigned kTypeTssAvailable32 = 9;
inline constexpr unsigned kTypeTssBusy32 = 11;
inline constexpr unsigned kTypeCallGate32 = 12;
inline constexpr unsigned kTypeInterruptGate32 = 14;
inline constexpr unsigned kTypeTrapGate32 = 15;
inline constexpr unsigned kTypeSize32Bit = 8;
inline constexpr unsigned kTypeTssBusyBit = 2;

inline constexpr uint16_t kSelectorTi = 4;

// Error code bits, SDM 3A figure 6-6.
inline constexpr uint32_t kErrorExternal = 1;
inline constexpr uint32_t kErrorIdt = 2;

constexpr bool is_null_selector(uint16_t selector) { return (selector & 0xfffcU) == 0; }
constexpr unsigned selector_rpl(uint16_t selector) { return selector & 3U; }
constexpr uint16_t with_rpl(uint16_t selector, unsigned rpl) {
  return static_cast<uint16_t>((selector & 0xfffcU) | rpl);
}
constexpr uint32_t selector_error(uint16_t selector, uint32_t external = 0) {
  return (selector & 0xfffcU) | external;
}

[[nodiscard]] inline GuestFault selector_fault(Vector vector, uint16_t selector,
                                               uint32_t external = 0) {
  return GuestFault::with_code(vector, selector_error(selector, external));
}

constexpr bool is_tss_type(unsigned type) { return (type & 5U) == 1U; }
constexpr bool is_available_tss(unsigned type) {
  return type == kTypeTssAvailable16 || type == kTypeTssAvailable32;
}

// Do all of [offset, offset+length) lie inside the segment (SDM 3A 5.3)?
[[nodiscard]] bool segment_covers(const SegmentCache& cache, uint32_t offset, uint32_t length);

// Linear address of the descriptor; *found is false when the table is too short or the LDT
// unusable.
[[nodiscard]] GuestVirtual descriptor_address(const CpuContext& cpu, uint16_t selector,
                                              bool* found);

// Faults only as paging does.
[[nodiscard]] MaybeFault find_descriptor(CpuContext& cpu, uint16_t selector, bool* found,
                                         Descriptor* descriptor);
// The same, but a selector outside its table is `vector` with the selector as error code.
[[nodiscard]] MaybeFault require_descriptor(CpuContext& cpu, uint16_t selector, Vector vector,
                                            uint32_t external, Descriptor* descriptor);
// Sets the accessed bit in memory and in *descriptor, if it is clear (SDM 3A 3.4.5.1).
[[nodiscard]] MaybeFault mark_accessed(CpuContext& cpu, uint16_t selector, Descriptor* descriptor);

// A real-mode (DPL 0) or V86 (DPL 3) segment with its fixed limit (SDM 3B 20.1.1).
[[nodiscard]] SegmentCache real_mode_cache(uint16_t selector, unsigned dpl);

// Commits CS, CPL and EIP.
void enter_code(GuestState& state, const Descriptor& code, uint16_t selector, unsigned cpl,
                uint32_t eip);

// RET/IRET to an outer ring: data segments the new ring may not use become null (SDM 3A 5.8.6).
void drop_privileged_data_segments(GuestState& state);

}  // namespace ringshift

// Segmentation: descriptor loads, far transfers, gates, privilege checks, hardware task switches.
// SDM 3A chapters 3, 5, 7; SDM 2 pseudo-code of each instruction. A fault leaves the state
// unchanged, except where the SDM says otherwise (faults after the commit point of a task switch:
// SDM 3A 7.3).
#pragma once

#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

enum class OperandSize : uint8_t { Bits16 = 2, Bits32 = 4 };
enum class TaskSwitchSource : uint8_t { Jump, Call, Gate /* through IDT */, InterruptReturn };

// A descriptor as read from GDT or LDT.
struct Descriptor {
  uint32_t low = 0;
  uint32_t high = 0;
  [[nodiscard]] uint32_t base() const;
  [[nodiscard]] uint32_t byte_limit() const;  // granularity applied
  [[nodiscard]] uint16_t attributes() const;  // as in SegmentCache::attributes
  [[nodiscard]] SegmentCache cache(uint16_t selector) const;

  [[nodiscard]] bool present() const { return (high & 0x8000U) != 0; }
  [[nodiscard]] unsigned dpl() const { return (high >> 13) & 3U; }
  [[nodiscard]] unsigned type() const { return (high >> 8) & 0xfU; }
  [[nodiscard]] bool is_system() const { return (high & 0x1000U) == 0; }
  [[nodiscard]] bool is_code() const { return (high & 0x1800U) == 0x1800U; }
  [[nodiscard]] bool is_conforming_code() const { return (high & 0x1c00U) == 0x1c00U; }
  [[nodiscard]] bool is_writable_data() const { return (high & 0x1a00U) == 0x1200U; }
  // Data, or code with the R bit: DS, ES, FS and GS may hold these.
  [[nodiscard]] bool is_readable() const {
    return !is_system() && (!is_code() || (high & 0x200U) != 0);
  }
  // Gate fields (SDM 3A 5.8.3, 6.11).
  [[nodiscard]] uint16_t gate_selector() const { return static_cast<uint16_t>(low >> 16); }
  [[nodiscard]] uint32_t gate_offset() const;  // 16 bits wide in a 16-bit gate
  [[nodiscard]] unsigned gate_parameter_count() const { return high & 0x1fU; }
};

// Effective segment checks for a data access (SDM 3A 5.3, 5.5): returns the linear address, or the
// #GP(0)/#SS(0) that the access raises. Real mode and V86 included. length in bytes, >= 1.
[[nodiscard]] MaybeFault linear_address(const CpuContext& cpu, SegmentRegister segment,
                                        GuestOffset offset, uint32_t length, AccessKind access,
                                        GuestVirtual* linear);

// Whether an access of the guest's own is to raise #AC: CPL 3 with CR0.AM and EFLAGS.AC (SDM 3A
// 6.15). `alignment` is a power of two, in bytes.
[[nodiscard]] inline bool is_misaligned(const GuestState& state, GuestVirtual address,
                                        uint32_t alignment) {
  return (state.eflags & kFlagAc) != 0 && state.cpl == 3 && (state.cr0 & kCr0Am) != 0 &&
         (address.value() & (alignment - 1)) != 0;
}
// external: kErrorExternal in the delivery of an event that no instruction has asked for, else 0.
[[nodiscard]] inline GuestFault alignment_fault(uint32_t external = 0) {
  return GuestFault::with_code(Vector::AlignmentCheck, external);
}

// MOV/POP Sreg, LDS..LGS. Loading SS sets the interrupt shadow (by the caller, not here).
[[nodiscard]] MaybeFault load_segment(CpuContext& cpu, SegmentRegister segment, uint16_t selector);
[[nodiscard]] MaybeFault load_ldt(CpuContext& cpu, uint16_t selector);
[[nodiscard]] MaybeFault load_task_register(CpuContext& cpu, uint16_t selector);

// On success all of CS:EIP (and SS:ESP, CPL, flags) are the new ones. return_eip: the address of
// the next instruction.
[[nodiscard]] MaybeFault far_jump(CpuContext& cpu, uint16_t selector, uint32_t offset,
                                  OperandSize size, Eip return_eip);
[[nodiscard]] MaybeFault far_call(CpuContext& cpu, uint16_t selector, uint32_t offset,
                                  OperandSize size, Eip return_eip);
[[nodiscard]] MaybeFault far_return(CpuContext& cpu, uint16_t release_bytes, OperandSize size);
[[nodiscard]] MaybeFault interrupt_return(CpuContext& cpu, OperandSize size, Eip return_eip);
[[nodiscard]] MaybeFault sysenter(CpuContext& cpu);
[[nodiscard]] MaybeFault sysexit(CpuContext& cpu);
// Neither of the two would fault, but for SYSEXIT outside CPL 0.
[[nodiscard]] bool can_call_fast(const CpuContext& cpu);
// The segments that the two load, by ring.
struct FastCallSegments {
  SegmentCache cs0, ss0, cs3, ss3;
};
[[nodiscard]] FastCallSegments fast_call_segments(const GuestState& state);

// LAR, LSL, VERR, VERW: *valid becomes ZF. Only a page fault on the descriptor table faults.
[[nodiscard]] MaybeFault query_access_rights(CpuContext& cpu, uint16_t selector, bool* valid,
                                             uint32_t* rights);
[[nodiscard]] MaybeFault query_limit(CpuContext& cpu, uint16_t selector, bool* valid,
                                     uint32_t* limit);
[[nodiscard]] MaybeFault verify_segment(CpuContext& cpu, uint16_t selector, AccessKind access,
                                        bool* valid);

[[nodiscard]] MaybeFault switch_task(CpuContext& cpu, uint16_t selector, TaskSwitchSource source,
                                     Eip return_eip, bool push_error_code, uint32_t error_code);

// IN/OUT and friends: IOPL, then the I/O permission bitmap of the TSS (SDM 1 19.5.2).
[[nodiscard]] MaybeFault check_io_permission(CpuContext& cpu, uint16_t port, uint32_t bytes);

// Real-mode and V86 style load: base = selector * 16; used at reset and by V86 entry.
void load_real_mode_segment(GuestState& state, SegmentRegister segment, uint16_t selector);

}  // namespace ringshift

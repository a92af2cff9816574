// Segmentation: descriptor loads, far transfers, gates, privilege checks, hardware task switches.
// Owns: nothing. SDM 3A chapters 3, 5, 7; SDM 2 pseudo-code of each instruction.
// Called by: interpreter, event delivery, exit handlers. A fault leaves the state unchanged, except
// where the SDM says otherwise (faults after the commit point of a task switch: SDM 3A 7.3).
#pragma once

#include <cstdint>

#include "monitor/cpu_context.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

enum class OperandSize : uint8_t { Bits16 = 2, Bits32 = 4 };
enum class TaskSwitchSource : uint8_t { Jump, Call, Gate /* through IDT */, InterruptReturn };

// A descriptor as read from GDT or LDT.
struct Descriptor {
  uint32_t low = 0;
  uint32_t high = 0;
  [[nodiscard]] uint32_t base() const;
  [[nodiscard]] uint32_t byte_limit() const;    // granularity applied
  [[nodiscard]] uint16_t attributes() const;    // as in SegmentCache::attributes
  [[nodiscard]] SegmentCache cache(uint16_t selector) const;
};

// Effective segment checks for a data access (SDM 3A 5.3, 5.5): returns the linear address, or the
// #GP(0)/#SS(0) that the access raises. Real mode and V86 included. length in bytes, >= 1.
[[nodiscard]] MaybeFault linear_address(const CpuContext& cpu, SegmentRegister segment,
                                        GuestOffset offset, uint32_t length, AccessKind access,
                                        GuestVirtual* linear);

// MOV/POP Sreg, LDS..LGS. Loading SS sets the interrupt shadow (by the caller, not here).
[[nodiscard]] MaybeFault load_segment(CpuContext& cpu, SegmentRegister segment, uint16_t selector);
[[nodiscard]] MaybeFault load_ldt(CpuContext& cpu, uint16_t selector);
[[nodiscard]] MaybeFault load_task_register(CpuContext& cpu, uint16_t selector);

// On success all of CS:EIP (and SS:ESP, CPL, flags) are the new ones. return_eip: the address of the next instruction.
[[nodiscard]] MaybeFault far_jump(CpuContext& cpu, uint16_t selector, uint32_t offset,
                                  OperandSize size, uint32_t return_eip);
[[nodiscard]] MaybeFault far_call(CpuContext& cpu, uint16_t selector, uint32_t offset,
                                  OperandSize size, uint32_t return_eip);
[[nodiscard]] MaybeFault far_return(CpuContext& cpu, uint16_t release_bytes, OperandSize size);
[[nodiscard]] MaybeFault interrupt_return(CpuContext& cpu, OperandSize size, uint32_t return_eip);
[[nodiscard]] MaybeFault sysenter(CpuContext& cpu);
[[nodiscard]] MaybeFault sysexit(CpuContext& cpu);

// LAR, LSL, VERR, VERW: *valid is what ZF becomes. Only a page fault on the descriptor table faults.
[[nodiscard]] MaybeFault query_access_rights(CpuContext& cpu, uint16_t selector, bool* valid,
                                             uint32_t* rights);
[[nodiscard]] MaybeFault query_limit(CpuContext& cpu, uint16_t selector, bool* valid,
                                     uint32_t* limit);
[[nodiscard]] MaybeFault verify_segment(CpuContext& cpu, uint16_t selector, AccessKind access,
                                        bool* valid);

[[nodiscard]] MaybeFault switch_task(CpuContext& cpu, uint16_t selector, TaskSwitchSource source,
                                     uint32_t return_eip, bool push_error_code,
                                     uint32_t error_code);

// IN/OUT and friends: IOPL, then the I/O permission bitmap of the TSS (SDM 1 19.5.2).
[[nodiscard]] MaybeFault check_io_permission(CpuContext& cpu, uint16_t port, uint32_t bytes);

// Real-mode and V86 style load: base = selector * 16; used at reset and by V86 entry.
void load_real_mode_segment(GuestState& state, SegmentRegister segment, uint16_t selector);

}  // namespace ringshift

// IRET, SYSENTER and SYSEXIT: SDM 2A/2B pseudo-code of each.
#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/guest_stack.h"
#include "monitor/cpu/segments/return_target.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/cpu/segments/task_switch.h"

namespace ringshift {

namespace {

constexpr uint32_t kFlagsAlwaysPopped =
    kFlagsArithmetic | kFlagTf | kFlagDf | kFlagNt;  // at any privilege, any size
constexpr uint32_t kFlagsPopped32 = kFlagRf | kFlagAc | kFlagId;
constexpr uint32_t kFlagsDefined =
    kFlagsAlwaysPopped | kFlagsPopped32 | kFlagIf | kFlagIopl | kFlagVm | kFlagVif | kFlagVip;
constexpr uint32_t kUpperHalf = 0xffff0000U;

struct ReturnFrame {
  uint32_t eip = 0;
  uint16_t cs = 0;
  uint32_t flags = 0;
};

MaybeFault pop_frame(StackPopper& popper, ReturnFrame* frame) {
  RETURN_IF_FAULT(popper.pop(&frame->eip));
  RETURN_IF_FAULT(popper.pop_selector(&frame->cs));
  return popper.pop(&frame->flags);
}

uint32_t merge_flags(uint32_t old_flags, uint32_t new_flags, uint32_t writable) {
  return (old_flags & ~writable) | (new_flags & writable) | kFlagReservedOne;
}

// The flags that IRET may change in protected mode, by the CPL it runs at (SDM 2A IRET).
uint32_t protected_mask(const GuestState& state, OperandSize size) {
  uint32_t mask = kFlagsAlwaysPopped;
  if (size == OperandSize::Bits32) {
    mask |= kFlagsPopped32;
  }
  if (state.cpl <= state.iopl()) {
    mask |= kFlagIf;
  }
  if (state.cpl == 0) {
    mask |= kFlagIopl;
    if (size == OperandSize::Bits32) {
      mask |= kFlagVif | kFlagVip;
    }
  }
  return mask;
}

// Real mode, and V86 mode with IOPL 3: `kept` flags do not change.
MaybeFault return_real(CpuContext& cpu, OperandSize size, uint32_t kept) {
  GuestState& state = cpu.state;
  StackPopper popper(cpu, size);
  ReturnFrame frame;
  RETURN_IF_FAULT(pop_frame(popper, &frame));
  if (frame.eip > state.seg(SegmentRegister::Cs).limit) {
    return GuestFault::general_protection(0);
  }
  if (size == OperandSize::Bits16) {
    kept |= kUpperHalf;
  }
  load_real_mode_segment(state, SegmentRegister::Cs, frame.cs);
  state.eip = frame.eip;
  state.eflags = merge_flags(state.eflags, frame.flags, kFlagsDefined & ~kept);
  state.reg(Gpr::Esp) = popper.esp();
  return kNoFault;
}

MaybeFault return_to_v86(CpuContext& cpu, StackPopper& popper, const ReturnFrame& frame) {
  GuestState& state = cpu.state;
  uint32_t esp = 0;
  std::array<uint16_t, 5> selectors{};
  constexpr std::array<SegmentRegister, 5> kOrder = {SegmentRegister::Ss, SegmentRegister::Es,
                                                     SegmentRegister::Ds, SegmentRegister::Fs,
                                                     SegmentRegister::Gs};
  RETURN_IF_FAULT(popper.pop(&esp));
  for (uint16_t& selector : selectors) {
    RETURN_IF_FAULT(popper.pop_selector(&selector));
  }
  if (frame.eip > 0xffffU) {
    return GuestFault::general_protection(0);
  }
  for (size_t i = 0; i < kOrder.size(); ++i) {
    state.seg(kOrder[i]) = real_mode_cache(selectors[i], 3);
  }
  state.seg(SegmentRegister::Cs) = real_mode_cache(frame.cs, 3);
  state.eip = frame.eip;
  state.reg(Gpr::Esp) = esp;
  state.eflags = (frame.flags & kFlagsDefined) | kFlagReservedOne;
  state.cpl = 3;
  return kNoFault;
}

MaybeFault return_from_task(CpuContext& cpu, Eip return_eip) {
  const SegmentCache& tr = cpu.state.tr;
  uint16_t link = 0;
  RETURN_IF_FAULT(cpu.memory.read_value(GuestVirtual(tr.base), Privilege::Supervisor, &link));
  return switch_task(cpu, link, TaskSwitchSource::InterruptReturn, return_eip, false, 0);
}

MaybeFault return_protected(CpuContext& cpu, OperandSize size) {
  GuestState& state = cpu.state;
  StackPopper popper(cpu, size);
  ReturnFrame frame;
  RETURN_IF_FAULT(pop_frame(popper, &frame));
  if (size == OperandSize::Bits32 && (frame.flags & kFlagVm) != 0 && state.cpl == 0) {
    return return_to_v86(cpu, popper, frame);
  }
  ReturnTarget target;
  RETURN_IF_FAULT(check_return_code(cpu, frame.cs, &target.code));
  target.selector = frame.cs;
  target.eip = frame.eip;
  const uint32_t flags = merge_flags(state.eflags, frame.flags, protected_mask(state, size));
  if (selector_rpl(frame.cs) > state.cpl) {
    RETURN_IF_FAULT(pop_outer_stack(popper, &target));
    RETURN_IF_FAULT(return_to_outer_ring(cpu, target));
  } else {
    RETURN_IF_FAULT(return_to_same_ring(cpu, target));
    state.reg(Gpr::Esp) = popper.esp();
  }
  state.eflags = flags;
  return kNoFault;
}

// SYSENTER and SYSEXIT force flat segments whatever the GDT holds (SDM 2B).
constexpr uint16_t kFlatCode = 0xc09b;
constexpr uint16_t kFlatData = 0xc093;

SegmentCache flat_segment(uint32_t selector, uint16_t attributes, unsigned ring) {
  return {0, 0xffffffffU, with_rpl(static_cast<uint16_t>(selector), ring),
          static_cast<uint16_t>(attributes | (ring << 5))};
}

MaybeFault check_fast_call(const CpuContext& cpu) {
  if (!cpu.model.sysenter) {
    return GuestFault::invalid_opcode();
  }
  if (!cpu.state.protected_mode() ||
      is_null_selector(static_cast<uint16_t>(cpu.state.sysenter_cs))) {
    return GuestFault::general_protection(0);
  }
  return kNoFault;
}

}  // namespace

MaybeFault interrupt_return(CpuContext& cpu, OperandSize size, Eip return_eip) {
  GuestState& state = cpu.state;
  state.nmi_blocked = 0;  // even if it faults (SDM 3A 6.7.1)
  if (!state.protected_mode()) {
    return return_real(cpu, size, kFlagVm | kFlagVif | kFlagVip);
  }
  if (state.v86_mode()) {
    if (state.iopl() != 3) {
      return GuestFault::general_protection(0);
    }
    return return_real(cpu, size, kFlagVm | kFlagIopl | kFlagVif | kFlagVip);
  }
  if ((state.eflags & kFlagNt) != 0) {
    return return_from_task(cpu, return_eip);
  }
  return return_protected(cpu, size);
}

bool can_call_fast(const CpuContext& cpu) { return !check_fast_call(cpu); }

FastCallSegments fast_call_segments(const GuestState& state) {
  const uint32_t cs = state.sysenter_cs;
  return {flat_segment(cs, kFlatCode, 0), flat_segment(cs + 8, kFlatData, 0),
          flat_segment(cs + 16, kFlatCode, 3), flat_segment(cs + 24, kFlatData, 3)};
}

MaybeFault sysenter(CpuContext& cpu) {
  RETURN_IF_FAULT(check_fast_call(cpu));
  GuestState& state = cpu.state;
  const FastCallSegments segments = fast_call_segments(state);
  state.eflags &= ~(kFlagVm | kFlagIf | kFlagRf);
  state.seg(SegmentRegister::Cs) = segments.cs0;
  state.seg(SegmentRegister::Ss) = segments.ss0;
  state.cpl = 0;
  state.reg(Gpr::Esp) = state.sysenter_esp;
  state.eip = state.sysenter_eip;
  return kNoFault;
}

MaybeFault sysexit(CpuContext& cpu) {
  RETURN_IF_FAULT(check_fast_call(cpu));
  GuestState& state = cpu.state;
  if (state.cpl != 0) {
    return GuestFault::general_protection(0);
  }
  const FastCallSegments segments = fast_call_segments(state);
  state.seg(SegmentRegister::Cs) = segments.cs3;
  state.seg(SegmentRegister::Ss) = segments.ss3;
  state.cpl = 3;
  state.eip = state.reg(Gpr::Edx);
  state.reg(Gpr::Esp) = state.reg(Gpr::Ecx);
  return kNoFault;
}

}  // namespace ringshift

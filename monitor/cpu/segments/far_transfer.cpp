// Far JMP, CALL and RET: SDM 2A/2B pseudo-code of each, in its order of checks.
#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/guest_stack.h"
#include "monitor/cpu/segments/return_target.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/cpu/segments/task_switch.h"

namespace ringshift {

namespace {

enum class TransferKind : uint8_t { Jump, Call };

constexpr uint32_t offset_mask(OperandSize size) {
  return size == OperandSize::Bits16 ? 0xffffU : 0xffffffffU;
}

GuestFault no_stack_room() { return GuestFault::with_code(Vector::StackFault, 0); }

bool real_or_v86(const GuestState& state) { return !state.protected_mode() || state.v86_mode(); }

MaybeFault transfer_real(CpuContext& cpu, uint16_t selector, uint32_t offset) {
  GuestState& state = cpu.state;
  if (offset > state.seg(SegmentRegister::Cs).limit) {
    return GuestFault::general_protection(0);
  }
  load_real_mode_segment(state, SegmentRegister::Cs, selector);
  state.eip = offset;
  return kNoFault;
}

// CS and the return address on the current stack; the caller commits *esp.
MaybeFault push_return_address(CpuContext& cpu, OperandSize size, Eip return_eip, uint32_t* esp) {
  const GuestState& state = cpu.state;
  StackPusher pusher(cpu, state.seg(SegmentRegister::Ss), state.reg(Gpr::Esp), size,
                     state.privilege(), no_stack_room());
  pusher.push(state.seg(SegmentRegister::Cs).selector);
  pusher.push(return_eip.value());
  RETURN_IF_FAULT(pusher.commit());
  *esp = pusher.esp();
  return kNoFault;
}

// The rules for naming a code segment directly (no gate): privilege never changes.
MaybeFault check_direct_code(const CpuContext& cpu, uint16_t selector, const Descriptor& code) {
  const unsigned cpl = cpu.state.cpl;
  const bool allowed = code.is_conforming_code()
                           ? code.dpl() <= cpl
                           : selector_rpl(selector) <= cpl && code.dpl() == cpl;
  if (!allowed) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!code.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  return kNoFault;
}

// Everything a transfer to a code segment at the same privilege still has to do.
struct SameRingTransfer {
  TransferKind kind;
  uint16_t selector;
  uint32_t offset;
  OperandSize frame_size;
  Eip return_eip;
};

MaybeFault transfer_same_ring(CpuContext& cpu, Descriptor code, const SameRingTransfer& transfer) {
  if (transfer.offset > code.byte_limit()) {
    return GuestFault::general_protection(0);
  }
  RETURN_IF_FAULT(mark_accessed(cpu, transfer.selector, &code));
  uint32_t esp = cpu.state.reg(Gpr::Esp);
  if (transfer.kind == TransferKind::Call) {
    RETURN_IF_FAULT(push_return_address(cpu, transfer.frame_size, transfer.return_eip, &esp));
  }
  cpu.state.reg(Gpr::Esp) = esp;
  enter_code(cpu.state, code, transfer.selector, cpu.state.cpl, transfer.offset);
  return kNoFault;
}

// Gate and TSS descriptors named by JMP/CALL: DPL >= CPL and >= RPL, then present.
MaybeFault check_gate_access(const CpuContext& cpu, uint16_t selector, const Descriptor& gate) {
  if (gate.dpl() < cpu.state.cpl || gate.dpl() < selector_rpl(selector)) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!gate.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  return kNoFault;
}

MaybeFault check_gated_code(const CpuContext& cpu, TransferKind kind, uint16_t selector,
                            const Descriptor& code) {
  const unsigned cpl = cpu.state.cpl;
  bool allowed = code.is_code() && code.dpl() <= cpl;
  if (kind == TransferKind::Jump && !code.is_conforming_code()) {
    allowed = allowed && code.dpl() == cpl;
  }
  if (!allowed) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!code.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  return kNoFault;
}

// Parameter `index` (0 = nearest the top) of a call gate on the caller's stack.
MaybeFault read_parameter(CpuContext& cpu, OperandSize size, unsigned index, uint32_t* value) {
  StackPopper caller(cpu, size);
  caller.skip(index * static_cast<uint32_t>(size));
  return caller.pop(value);
}

MaybeFault call_inner_ring(CpuContext& cpu, const Descriptor& gate, Descriptor code,
                           Eip return_eip) {
  GuestState& state = cpu.state;
  const unsigned ring = code.dpl();
  const OperandSize size =
      (gate.type() & kTypeSize32Bit) != 0 ? OperandSize::Bits32 : OperandSize::Bits16;
  InnerStack stack;
  RETURN_IF_FAULT(load_inner_stack(cpu, ring, 0, &stack));
  StackPusher pusher(cpu, stack.ss, stack.esp, size, Privilege::Supervisor,
                     selector_fault(Vector::StackFault, stack.ss.selector));
  pusher.push(state.seg(SegmentRegister::Ss).selector);
  pusher.push(state.reg(Gpr::Esp));
  for (unsigned i = gate.gate_parameter_count(); i > 0; --i) {
    uint32_t parameter = 0;
    RETURN_IF_FAULT(read_parameter(cpu, size, i - 1, &parameter));
    pusher.push(parameter);
  }
  pusher.push(state.seg(SegmentRegister::Cs).selector);
  pusher.push(return_eip.value());
  if (gate.gate_offset() > code.byte_limit()) {
    return GuestFault::general_protection(0);
  }
  RETURN_IF_FAULT(mark_accessed(cpu, gate.gate_selector(), &code));
  RETURN_IF_FAULT(pusher.commit());
  state.seg(SegmentRegister::Ss) = stack.ss;
  state.reg(Gpr::Esp) = pusher.esp();
  enter_code(state, code, gate.gate_selector(), ring, gate.gate_offset());
  return kNoFault;
}

MaybeFault transfer_through_call_gate(CpuContext& cpu, TransferKind kind, uint16_t selector,
                                      const Descriptor& gate, Eip return_eip) {
  RETURN_IF_FAULT(check_gate_access(cpu, selector, gate));
  const uint16_t target = gate.gate_selector();
  if (is_null_selector(target)) {
    return GuestFault::general_protection(0);
  }
  Descriptor code;
  RETURN_IF_FAULT(require_descriptor(cpu, target, Vector::GeneralProtection, 0, &code));
  RETURN_IF_FAULT(check_gated_code(cpu, kind, target, code));
  if (kind == TransferKind::Call && !code.is_conforming_code() && code.dpl() < cpu.state.cpl) {
    return call_inner_ring(cpu, gate, code, return_eip);
  }
  const OperandSize size =
      (gate.type() & kTypeSize32Bit) != 0 ? OperandSize::Bits32 : OperandSize::Bits16;
  return transfer_same_ring(cpu, code, {kind, target, gate.gate_offset(), size, return_eip});
}

MaybeFault transfer_to_system(CpuContext& cpu, TransferKind kind, uint16_t selector,
                              const Descriptor& descriptor, Eip return_eip) {
  const TaskSwitchSource source =
      kind == TransferKind::Jump ? TaskSwitchSource::Jump : TaskSwitchSource::Call;
  switch (descriptor.type()) {
    case kTypeCallGate16:
    case kTypeCallGate32:
      return transfer_through_call_gate(cpu, kind, selector, descriptor, return_eip);
    case kTypeTaskGate:
      RETURN_IF_FAULT(check_gate_access(cpu, selector, descriptor));
      return switch_task(cpu, descriptor.gate_selector(), source, return_eip, false, 0);
    case kTypeTssAvailable16:
    case kTypeTssAvailable32:
      RETURN_IF_FAULT(check_gate_access(cpu, selector, descriptor));
      return switch_task(cpu, selector, source, return_eip, false, 0);
    default:
      return selector_fault(Vector::GeneralProtection, selector);
  }
}

MaybeFault transfer_protected(CpuContext& cpu, const SameRingTransfer& transfer) {
  if (is_null_selector(transfer.selector)) {
    return GuestFault::general_protection(0);
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(
      require_descriptor(cpu, transfer.selector, Vector::GeneralProtection, 0, &descriptor));
  if (descriptor.is_system()) {
    return transfer_to_system(cpu, transfer.kind, transfer.selector, descriptor,
                              transfer.return_eip);
  }
  if (!descriptor.is_code()) {
    return selector_fault(Vector::GeneralProtection, transfer.selector);
  }
  RETURN_IF_FAULT(check_direct_code(cpu, transfer.selector, descriptor));
  return transfer_same_ring(cpu, descriptor, transfer);
}

}  // namespace

MaybeFault far_jump(CpuContext& cpu, uint16_t selector, uint32_t offset, OperandSize size,
                    Eip return_eip) {
  offset &= offset_mask(size);
  if (real_or_v86(cpu.state)) {
    return transfer_real(cpu, selector, offset);
  }
  return transfer_protected(cpu, {TransferKind::Jump, selector, offset, size, return_eip});
}

MaybeFault far_call(CpuContext& cpu, uint16_t selector, uint32_t offset, OperandSize size,
                    Eip return_eip) {
  offset &= offset_mask(size);
  if (!real_or_v86(cpu.state)) {
    return transfer_protected(cpu, {TransferKind::Call, selector, offset, size, return_eip});
  }
  if (offset > cpu.state.seg(SegmentRegister::Cs).limit) {
    return GuestFault::general_protection(0);
  }
  uint32_t esp = 0;
  RETURN_IF_FAULT(push_return_address(cpu, size, return_eip, &esp));
  RETURN_IF_FAULT(transfer_real(cpu, selector, offset));
  cpu.state.reg(Gpr::Esp) = esp;
  return kNoFault;
}

MaybeFault far_return(CpuContext& cpu, uint16_t release_bytes, OperandSize size) {
  GuestState& state = cpu.state;
  StackPopper popper(cpu, size);
  uint32_t eip = 0;
  uint16_t selector = 0;
  RETURN_IF_FAULT(popper.pop(&eip));
  RETURN_IF_FAULT(popper.pop_selector(&selector));
  popper.skip(release_bytes);
  if (real_or_v86(state)) {
    RETURN_IF_FAULT(transfer_real(cpu, selector, eip));
    state.reg(Gpr::Esp) = popper.esp();
    return kNoFault;
  }
  ReturnTarget target;
  RETURN_IF_FAULT(check_return_code(cpu, selector, &target.code));
  target.selector = selector;
  target.eip = eip;
  if (selector_rpl(selector) > state.cpl) {
    RETURN_IF_FAULT(pop_outer_stack(popper, &target));
    RETURN_IF_FAULT(return_to_outer_ring(cpu, target));
    const SegmentCache& ss = state.seg(SegmentRegister::Ss);
    state.reg(Gpr::Esp) =
        merge_stack_pointer(ss, state.reg(Gpr::Esp), state.reg(Gpr::Esp) + release_bytes);
    return kNoFault;
  }
  RETURN_IF_FAULT(return_to_same_ring(cpu, target));
  state.reg(Gpr::Esp) = popper.esp();
  return kNoFault;
}

}  // namespace ringshift

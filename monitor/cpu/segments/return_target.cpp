#include "monitor/cpu/segments/return_target.h"

#include "monitor/cpu/segments/descriptor_access.h"

namespace ringshift {

namespace {

MaybeFault check_outer_stack(const Descriptor& descriptor, uint16_t selector, unsigned ring) {
  if (selector_rpl(selector) != ring || !descriptor.is_writable_data() ||
      descriptor.dpl() != ring) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::StackFault, selector);
  }
  return kNoFault;
}

}  // namespace

MaybeFault check_return_code(CpuContext& cpu, uint16_t selector, Descriptor* code) {
  if (is_null_selector(selector)) {
    return GuestFault::general_protection(0);
  }
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::GeneralProtection, 0, code));
  const unsigned rpl = selector_rpl(selector);
  const bool privilege = code->is_conforming_code() ? code->dpl() <= rpl : code->dpl() == rpl;
  if (!code->is_code() || rpl < cpu.state.cpl || !privilege) {
    return selector_fault(Vector::GeneralProtection, selector);
  }
  if (!code->present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  return kNoFault;
}

MaybeFault pop_outer_stack(StackPopper& popper, ReturnTarget* target) {
  RETURN_IF_FAULT(popper.pop(&target->esp));
  return popper.pop_selector(&target->stack_selector);
}

MaybeFault return_to_same_ring(CpuContext& cpu, const ReturnTarget& target) {
  if (target.eip > target.code.byte_limit()) {
    return GuestFault::general_protection(0);
  }
  Descriptor code = target.code;
  RETURN_IF_FAULT(mark_accessed(cpu, target.selector, &code));
  enter_code(cpu.state, code, target.selector, cpu.state.cpl, target.eip);
  return kNoFault;
}

MaybeFault return_to_outer_ring(CpuContext& cpu, const ReturnTarget& target) {
  const unsigned ring = selector_rpl(target.selector);
  if (is_null_selector(target.stack_selector)) {
    return GuestFault::general_protection(0);
  }
  Descriptor stack;
  RETURN_IF_FAULT(
      require_descriptor(cpu, target.stack_selector, Vector::GeneralProtection, 0, &stack));
  RETURN_IF_FAULT(check_outer_stack(stack, target.stack_selector, ring));
  if (target.eip > target.code.byte_limit()) {
    return GuestFault::general_protection(0);
  }
  Descriptor code = target.code;
  RETURN_IF_FAULT(mark_accessed(cpu, target.selector, &code));
  RETURN_IF_FAULT(mark_accessed(cpu, target.stack_selector, &stack));
  GuestState& state = cpu.state;
  enter_code(state, code, target.selector, ring, target.eip);
  SegmentCache& ss = state.seg(SegmentRegister::Ss);
  ss = stack.cache(target.stack_selector);
  // A 16-bit outer stack takes SP alone; the upper half of ESP keeps the inner ring's value.
  state.reg(Gpr::Esp) = merge_stack_pointer(ss, state.reg(Gpr::Esp), target.esp);
  drop_privileged_data_segments(state);
  return kNoFault;
}

}  // namespace ringshift

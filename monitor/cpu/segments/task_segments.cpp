#include "monitor/cpu/segments/task_segments.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/segmentation.h"

namespace ringshift {
namespace {

MaybeFault load_new_ldt(CpuContext& cpu, uint16_t selector) {
  if (is_null_selector(selector)) {
    return kNoFault;
  }
  const GuestFault bad = selector_fault(Vector::InvalidTss, selector);
  if ((selector & kSelectorTi) != 0) {
    return bad;
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::InvalidTss, 0, &descriptor));
  if (!descriptor.is_system() || descriptor.type() != kTypeLdt || !descriptor.present()) {
    return bad;
  }
  cpu.state.ldtr = descriptor.cache(selector);
  return kNoFault;
}

MaybeFault load_new_code(CpuContext& cpu, uint16_t selector) {
  const GuestFault bad = selector_fault(Vector::InvalidTss, selector);
  if (is_null_selector(selector)) {
    return bad;
  }
  Descriptor code;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::InvalidTss, 0, &code));
  const unsigned rpl = selector_rpl(selector);
  const bool privilege = code.is_conforming_code() ? code.dpl() <= rpl : code.dpl() == rpl;
  if (!code.is_code() || !privilege) {
    return bad;
  }
  if (!code.present()) {
    return selector_fault(Vector::SegmentNotPresent, selector);
  }
  RETURN_IF_FAULT(mark_accessed(cpu, selector, &code));
  cpu.state.seg(SegmentRegister::Cs) = code.cache(selector);
  return kNoFault;
}

MaybeFault load_new_stack(CpuContext& cpu, uint16_t selector) {
  const GuestFault bad = selector_fault(Vector::InvalidTss, selector);
  if (is_null_selector(selector)) {
    return bad;
  }
  Descriptor stack;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::InvalidTss, 0, &stack));
  const unsigned cpl = cpu.state.cpl;
  if (!stack.is_writable_data() || stack.dpl() != cpl || selector_rpl(selector) != cpl) {
    return bad;
  }
  if (!stack.present()) {
    return selector_fault(Vector::StackFault, selector);
  }
  RETURN_IF_FAULT(mark_accessed(cpu, selector, &stack));
  cpu.state.seg(SegmentRegister::Ss) = stack.cache(selector);
  return kNoFault;
}

MaybeFault load_new_data(CpuContext& cpu, SegmentRegister segment, uint16_t selector) {
  // As MOV to the register would, but with #TS in the place of #GP.
  MaybeFault fault = load_segment(cpu, segment, selector);
  if (fault && fault->vector == Vector::GeneralProtection) {
    fault->vector = Vector::InvalidTss;
  }
  return fault;
}

}  // namespace

MaybeFault load_task_segments(CpuContext& cpu, const TaskSelectors& selectors, uint16_t ldt) {
  GuestState& state = cpu.state;
  const auto selector = [&selectors](SegmentRegister name) {
    return selectors[static_cast<size_t>(name)];
  };
  RETURN_IF_FAULT(load_new_ldt(cpu, ldt));
  if (state.v86_mode()) {
    for (size_t i = 0; i < kSegmentCount; ++i) {
      state.segment[i] = real_mode_cache(selectors[i], 3);
    }
    return kNoFault;
  }
  RETURN_IF_FAULT(load_new_code(cpu, selector(SegmentRegister::Cs)));
  RETURN_IF_FAULT(load_new_stack(cpu, selector(SegmentRegister::Ss)));
  for (const SegmentRegister name :
       {SegmentRegister::Es, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs}) {
    RETURN_IF_FAULT(load_new_data(cpu, name, selector(name)));
  }
  return kNoFault;
}

}  // namespace ringshift

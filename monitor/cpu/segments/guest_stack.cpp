#include "monitor/cpu/segments/guest_stack.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

uint32_t merge_stack_pointer(const SegmentCache& ss, uint32_t old_esp, uint32_t new_esp) {
  return ss.default_32() ? new_esp : (old_esp & 0xffff0000U) | (new_esp & 0xffffU);
}

void StackPusher::push(uint32_t value) {
  CHECK(count_ < slots_.size());
  const auto bytes = static_cast<uint32_t>(size_);
  esp_ = merge_stack_pointer(ss_, esp_, esp_ - bytes);
  slots_[count_++] = {ss_.default_32() ? esp_ : esp_ & 0xffffU, value};
}

MaybeFault StackPusher::check_room() const {
  const auto bytes = static_cast<uint32_t>(size_);
  for (size_t i = 0; i < count_; ++i) {
    if (!segment_covers(ss_, slots_[i].offset, bytes)) return no_room_;
  }
  return kNoFault;
}

// Only the current stack at CPL 3 is checked: an inner stack is the supervisor's.
MaybeFault StackPusher::check_alignment(GuestVirtual address) const {
  const bool is_users = privilege_ == Privilege::User;
  if (!is_users || !is_misaligned(cpu_.state, address, static_cast<uint32_t>(size_))) {
    return kNoFault;
  }
  return alignment_fault(no_room_.error_code & kErrorExternal);
}

MaybeFault StackPusher::commit() {
  const auto bytes = static_cast<uint32_t>(size_);
  RETURN_IF_FAULT(check_room());
  for (size_t i = 0; i < count_; ++i) {
    const GuestVirtual address(ss_.base + slots_[i].offset);
    RETURN_IF_FAULT(check_alignment(address));
    RETURN_IF_FAULT(cpu_.memory.probe_write(address, bytes, privilege_));
  }
  for (size_t i = 0; i < count_; ++i) {
    RETURN_IF_FAULT(cpu_.memory.write(GuestVirtual(ss_.base + slots_[i].offset), &slots_[i].value,
                                      bytes, privilege_));
  }
  return kNoFault;
}

StackPopper::StackPopper(CpuContext& cpu, OperandSize size)
    : cpu_(cpu), esp_(cpu.state.reg(Gpr::Esp)), size_(size) {}

MaybeFault StackPopper::pop(uint32_t* value) {
  const SegmentCache& ss = cpu_.state.seg(SegmentRegister::Ss);
  const auto bytes = static_cast<uint32_t>(size_);
  const uint32_t offset = ss.default_32() ? esp_ : esp_ & 0xffffU;
  if (!segment_covers(ss, offset, bytes)) {
    return GuestFault::with_code(Vector::StackFault, 0);
  }
  const GuestVirtual address(ss.base + offset);
  if (is_misaligned(cpu_.state, address, bytes)) return alignment_fault();
  *value = 0;
  RETURN_IF_FAULT(cpu_.memory.read(address, value, bytes, cpu_.state.privilege()));
  skip(bytes);
  return kNoFault;
}

MaybeFault StackPopper::pop_selector(uint16_t* selector) {
  uint32_t value = 0;
  RETURN_IF_FAULT(pop(&value));
  *selector = static_cast<uint16_t>(value);
  return kNoFault;
}

void StackPopper::skip(uint32_t bytes) {
  esp_ = merge_stack_pointer(cpu_.state.seg(SegmentRegister::Ss), esp_, esp_ + bytes);
}

namespace {

MaybeFault read_tss_stack(CpuContext& cpu, unsigned ring, uint32_t external, uint16_t* selector,
                          uint32_t* esp) {
  const SegmentCache& tr = cpu.state.tr;
  const bool wide = (tr.attributes & kTypeSize32Bit) != 0;
  const uint32_t pointer_bytes = wide ? 4 : 2;
  const uint32_t offset = wide ? ring * 8 + 4 : ring * 4 + 2;
  if (!tr.usable() || offset + pointer_bytes + 1 > tr.limit) {
    return selector_fault(Vector::InvalidTss, tr.selector, external);
  }
  *esp = 0;
  const GuestVirtual address(tr.base + offset);
  RETURN_IF_FAULT(cpu.memory.read(address, esp, pointer_bytes, Privilege::Supervisor));
  return cpu.memory.read_value(address + pointer_bytes, Privilege::Supervisor, selector);
}

}  // namespace

MaybeFault load_inner_stack(CpuContext& cpu, unsigned ring, uint32_t external, InnerStack* stack) {
  uint16_t selector = 0;
  RETURN_IF_FAULT(read_tss_stack(cpu, ring, external, &selector, &stack->esp));
  if (is_null_selector(selector)) {
    return selector_fault(Vector::InvalidTss, selector, external);
  }
  Descriptor descriptor;
  RETURN_IF_FAULT(require_descriptor(cpu, selector, Vector::InvalidTss, external, &descriptor));
  if (selector_rpl(selector) != ring || descriptor.dpl() != ring ||
      !descriptor.is_writable_data()) {
    return selector_fault(Vector::InvalidTss, selector, external);
  }
  if (!descriptor.present()) {
    return selector_fault(Vector::StackFault, selector, external);
  }
  RETURN_IF_FAULT(mark_accessed(cpu, selector, &descriptor));
  stack->ss = descriptor.cache(selector);
  return kNoFault;
}

}  // namespace ringshift

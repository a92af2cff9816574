#include "monitor/cpu/segments/task_switch.h"

#include <array>

#include "monitor/cpu/control_registers.h"
#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/guest_stack.h"
#include "monitor/cpu/segments/task_segments.h"

namespace ringshift {

namespace {

// TSS layouts, SDM 3A figures 7-2 and 7-10: offset of the first field that a switch saves, how many
// bytes it saves from there, and the smallest limit that holds a whole TSS.
struct TssLayout {
  uint32_t bytes;        // whole TSS
  uint32_t field_bytes;  // of EIP, EFLAGS and the general registers
  uint32_t eip;
  uint32_t general;
  uint32_t segments;
  uint32_t segment_stride;
  uint32_t segment_count;
  uint32_t ldt;
};
constexpr TssLayout kTss32{104, 4, 32, 40, 72, 4, 6, 96};
constexpr TssLayout kTss16{44, 2, 14, 18, 34, 2, 4, 42};
constexpr uint32_t kTss32Cr3 = 28;
constexpr uint32_t kTss32Trap = 100;
constexpr uint32_t kDr6TaskSwitch = 1U << 15;
// Local breakpoint enables L0-L3 and LE end with the task (SDM 3B 17.2.4).
constexpr uint32_t kDr7Local = 0x155;
constexpr uint32_t kFlagsLoadable = 0x003f7fd5U;

const TssLayout& layout_of(unsigned type) { return (type & kTypeSize32Bit) != 0 ? kTss32 : kTss16; }

// A task's state as its TSS holds it.
struct TaskImage {
  bool wide = true;
  uint32_t cr3 = 0;
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint32_t, kGprCount> gpr{};
  std::array<uint16_t, kSegmentCount> selector{};
  uint16_t ldt = 0;
  bool trap = false;
};

// Little-endian field access into raw TSS bytes.
class TssBytes {
 public:
  [[nodiscard]] uint32_t get(uint32_t offset, uint32_t bytes) const {
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; ++i) {
      value |= uint32_t{raw_[offset + i]} << (8 * i);
    }
    return value;
  }
  void put(uint32_t offset, uint32_t bytes, uint32_t value) {
    for (uint32_t i = 0; i < bytes; ++i) {
      raw_[offset + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  }
  [[nodiscard]] uint8_t* data() { return raw_.data(); }

 private:
  std::array<uint8_t, 104> raw_{};
};

MaybeFault read_task(CpuContext& cpu, const SegmentCache& tss, TaskImage* task) {
  const TssLayout& layout = layout_of(tss.attributes & 0xfU);
  TssBytes bytes;
  RETURN_IF_FAULT(
      cpu.memory.read(GuestVirtual(tss.base), bytes.data(), layout.bytes, Privilege::Supervisor));
  task->wide = layout.field_bytes == 4;
  task->eip = bytes.get(layout.eip, layout.field_bytes);
  task->eflags = bytes.get(layout.eip + layout.field_bytes, layout.field_bytes);
  for (uint32_t i = 0; i < kGprCount; ++i) {
    // A 16-bit TSS leaves the upper halves undefined; processors set them.
    const uint32_t upper = task->wide ? 0 : 0xffff0000U;
    task->gpr[i] = bytes.get(layout.general + i * layout.field_bytes, layout.field_bytes) | upper;
  }
  for (uint32_t i = 0; i < layout.segment_count; ++i) {
    task->selector[i] =
        static_cast<uint16_t>(bytes.get(layout.segments + i * layout.segment_stride, 2));
  }
  task->ldt = static_cast<uint16_t>(bytes.get(layout.ldt, 2));
  if (task->wide) {
    task->cr3 = bytes.get(kTss32Cr3, 4);
    task->trap = (bytes.get(kTss32Trap, 2) & 1U) != 0;
  }
  return kNoFault;
}

// The part of the current TSS that a switch writes lies in one run: EIP up to the last selector.
struct SaveArea {
  GuestVirtual address;
  uint32_t bytes;
};

SaveArea save_area(const SegmentCache& tr) {
  const TssLayout& layout = layout_of(tr.attributes & 0xfU);
  const uint32_t end = layout.segments + layout.segment_count * layout.segment_stride;
  return {GuestVirtual(tr.base + layout.eip), end - layout.eip};
}

MaybeFault save_task(CpuContext& cpu, uint32_t eip, uint32_t eflags) {
  const GuestState& state = cpu.state;
  const TssLayout& layout = layout_of(state.tr.attributes & 0xfU);
  const SaveArea area = save_area(state.tr);
  TssBytes bytes;
  // The upper halves of 32-bit selector fields are reserved and keep what they hold.
  RETURN_IF_FAULT(
      cpu.memory.read(area.address, bytes.data() + layout.eip, area.bytes, Privilege::Supervisor));
  bytes.put(layout.eip, layout.field_bytes, eip);
  bytes.put(layout.eip + layout.field_bytes, layout.field_bytes, eflags);
  for (uint32_t i = 0; i < kGprCount; ++i) {
    bytes.put(layout.general + i * layout.field_bytes, layout.field_bytes, state.gpr[i]);
  }
  for (uint32_t i = 0; i < layout.segment_count; ++i) {
    bytes.put(layout.segments + i * layout.segment_stride, 2, state.segment[i].selector);
  }
  return cpu.memory.write(area.address, bytes.data() + layout.eip, area.bytes,
                          Privilege::Supervisor);
}

// Type byte of a TSS descriptor in the GDT, for its busy bit.
MaybeFault write_busy(CpuContext& cpu, uint16_t selector, bool busy) {
  bool found = false;
  const GuestVirtual address = descriptor_address(cpu, selector, &found) + 5U;
  if (!found) {
    return kNoFault;
  }
  uint8_t type = 0;
  RETURN_IF_FAULT(cpu.memory.read_value(address, Privilege::Supervisor, &type));
  type = static_cast<uint8_t>(busy ? type | kTypeTssBusyBit : type & ~kTypeTssBusyBit);
  return cpu.memory.write_value(address, Privilege::Supervisor, type);
}

MaybeFault probe_busy(CpuContext& cpu, uint16_t selector) {
  bool found = false;
  const GuestVirtual address = descriptor_address(cpu, selector, &found) + 5U;
  return found ? cpu.memory.probe_write(address, 1, Privilege::Supervisor) : kNoFault;
}

bool is_nested(TaskSwitchSource source) {
  return source == TaskSwitchSource::Call || source == TaskSwitchSource::Gate;
}

// Steps 1-4 of SDM 3A 7.3: the new TSS descriptor.
MaybeFault check_new_tss(CpuContext& cpu, const TaskSwitchRequest& request,
                         Descriptor* descriptor) {
  const bool returning = request.source == TaskSwitchSource::InterruptReturn;
  const Vector bad = returning ? Vector::InvalidTss : Vector::GeneralProtection;
  if (is_null_selector(request.selector) || (request.selector & kSelectorTi) != 0) {
    return selector_fault(bad, request.selector, request.external);
  }
  RETURN_IF_FAULT(require_descriptor(cpu, request.selector, bad, request.external, descriptor));
  const unsigned type = descriptor->type();
  const bool wanted = is_tss_type(type) && is_available_tss(type) != returning;
  if (!descriptor->is_system() || !wanted) {
    return selector_fault(bad, request.selector, request.external);
  }
  if (!descriptor->present()) {
    return selector_fault(Vector::SegmentNotPresent, request.selector, request.external);
  }
  if (descriptor->byte_limit() < layout_of(type).bytes - 1) {
    return selector_fault(Vector::InvalidTss, request.selector, request.external);
  }
  return kNoFault;
}

// Step 5: everything the switch will touch must be there before it starts.
MaybeFault probe_switch(CpuContext& cpu, const TaskSwitchRequest& request,
                        const Descriptor& descriptor) {
  const SegmentCache& tr = cpu.state.tr;
  const SaveArea area = save_area(tr);
  const TssLayout& layout = layout_of(tr.attributes & 0xfU);
  if (!tr.usable() ||
      tr.limit < layout.segments + layout.segment_count * layout.segment_stride - 1) {
    return selector_fault(Vector::InvalidTss, tr.selector, request.external);
  }
  RETURN_IF_FAULT(cpu.memory.probe_write(area.address, area.bytes, Privilege::Supervisor));
  RETURN_IF_FAULT(probe_busy(cpu, tr.selector));
  RETURN_IF_FAULT(probe_busy(cpu, request.selector));
  if (is_nested(request.source)) {
    RETURN_IF_FAULT(
        cpu.memory.probe_write(GuestVirtual(descriptor.base()), 2, Privilege::Supervisor));
  }
  return kNoFault;
}

// Steps 6-11: leaves the old task. Only memory that has been probed is written.
MaybeFault leave_task(CpuContext& cpu, const TaskSwitchRequest& request,
                      const Descriptor& descriptor) {
  const uint16_t old_selector = cpu.state.tr.selector;
  const bool nested = is_nested(request.source);
  uint32_t saved_flags = cpu.state.eflags | request.saved_flags;
  if (request.source == TaskSwitchSource::InterruptReturn) {
    saved_flags &= ~kFlagNt;
  }
  RETURN_IF_FAULT(save_task(cpu, request.return_eip.value(), saved_flags));
  if (!nested) {
    RETURN_IF_FAULT(write_busy(cpu, old_selector, false));
  } else {
    RETURN_IF_FAULT(cpu.memory.write_value(GuestVirtual(descriptor.base()), Privilege::Supervisor,
                                           old_selector));
  }
  if (request.source != TaskSwitchSource::InterruptReturn) {
    RETURN_IF_FAULT(write_busy(cpu, request.selector, true));
  }
  return kNoFault;
}

// Step 12: registers and selectors, without descriptors. From here on the new task is current.
void commit_task(GuestState& state, const TaskImage& task, const TaskSwitchRequest& request,
                 const Descriptor& descriptor) {
  state.tr = descriptor.cache(request.selector);
  state.tr.attributes = static_cast<uint16_t>(state.tr.attributes | kTypeTssBusyBit);
  state.cr0 |= kCr0Ts;
  state.dr[7] &= ~kDr7Local;
  state.gpr = task.gpr;
  state.eip = task.eip;
  state.eflags = (task.eflags & kFlagsLoadable) | kFlagReservedOne;
  if (is_nested(request.source)) {
    state.eflags |= kFlagNt;
  }
  for (size_t i = 0; i < kSegmentCount; ++i) {
    state.segment[i] = SegmentCache{0, 0, task.selector[i], 0};
  }
  state.ldtr = SegmentCache{0, 0, task.ldt, 0};
  const uint16_t cs = task.selector[static_cast<size_t>(SegmentRegister::Cs)];
  state.cpl = static_cast<uint8_t>(state.v86_mode() ? 3 : selector_rpl(cs));
}

MaybeFault push_task_error_code(CpuContext& cpu, bool wide, const TaskSwitchRequest& request) {
  GuestState& state = cpu.state;
  StackPusher pusher(cpu, state.seg(SegmentRegister::Ss), state.reg(Gpr::Esp),
                     wide ? OperandSize::Bits32 : OperandSize::Bits16, state.privilege(),
                     GuestFault::with_code(Vector::StackFault, request.external));
  pusher.push(request.error_code);
  RETURN_IF_FAULT(pusher.commit());
  state.reg(Gpr::Esp) = pusher.esp();
  return kNoFault;
}

// Step 13: faults here belong to the new task, before its first instruction.
MaybeFault load_task(CpuContext& cpu, const TaskImage& task) {
  GuestState& state = cpu.state;
  if (task.wide && (state.cr0 & kCr0Pg) != 0) {
    RETURN_IF_FAULT(write_cr3(cpu, task.cr3));
  }
  RETURN_IF_FAULT(load_task_segments(cpu, task.selector, task.ldt));
  if (state.eip > state.seg(SegmentRegister::Cs).limit) {
    return GuestFault::general_protection(0);
  }
  return kNoFault;
}

MaybeFault start_task(CpuContext& cpu, const TaskImage& task, const TaskSwitchRequest& request) {
  if (MaybeFault fault = load_task(cpu, task)) {
    if (fault->has_error_code && fault->vector != Vector::PageFault) {
      fault->error_code |= request.external;
    }
    return fault;
  }
  if (request.push_error_code) {
    RETURN_IF_FAULT(push_task_error_code(cpu, task.wide, request));
  }
  if (task.trap) {
    GuestFault trap = GuestFault::simple(Vector::Debug);
    trap.dr6_bits = kDr6TaskSwitch;
    return trap;
  }
  return kNoFault;
}

}  // namespace

MaybeFault perform_task_switch(CpuContext& cpu, const TaskSwitchRequest& request, bool* committed) {
  *committed = false;
  Descriptor descriptor;
  TaskImage task;
  RETURN_IF_FAULT(check_new_tss(cpu, request, &descriptor));
  RETURN_IF_FAULT(probe_switch(cpu, request, descriptor));
  RETURN_IF_FAULT(read_task(cpu, descriptor.cache(request.selector), &task));
  RETURN_IF_FAULT(leave_task(cpu, request, descriptor));
  commit_task(cpu.state, task, request, descriptor);
  *committed = true;
  return start_task(cpu, task, request);
}

MaybeFault switch_task(CpuContext& cpu, uint16_t selector, TaskSwitchSource source, Eip return_eip,
                       bool push_error_code, uint32_t error_code) {
  bool committed = false;
  return perform_task_switch(cpu, {selector, source, return_eip, push_error_code, error_code, 0, 0},
                             &committed);
}

}  // namespace ringshift

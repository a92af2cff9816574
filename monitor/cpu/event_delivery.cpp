#include "monitor/cpu/event_delivery.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/guest_stack.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/cpu/segments/task_switch.h"

namespace ringshift {

namespace {

constexpr uint32_t kDr6GeneralDetect = 1U << 13;
constexpr uint32_t kDr7GeneralDetect = 1U << 13;

bool is_software(const Event& event) {
  return event.kind == EventKind::SoftwareInterrupt || event.kind == EventKind::SoftwareException;
}

bool is_exception(const Event& event, Vector vector) {
  return event.kind == EventKind::Exception && event.vector == static_cast<uint8_t>(vector);
}

uint32_t external_bit(const Event& event) { return is_software(event) ? 0 : kErrorExternal; }

uint32_t idt_error(const Event& event) {
  return uint32_t{event.vector} * 8 + kErrorIdt + external_bit(event);
}

// Faults push EFLAGS with RF set, so that the restarted instruction does not hit its breakpoint
// again; traps, aborts, interrupts and breakpoint #DB push RF as it is (SDM 3B 17.3.1.1).
uint32_t pushed_rf(const Event& event) {
  if (event.kind != EventKind::Exception) {
    return 0;
  }
  switch (static_cast<Vector>(event.vector)) {
    case Vector::Debug:
      return (event.dr6_bits & kDr6GeneralDetect) != 0 ? kFlagRf : 0;
    case Vector::Nmi:
    case Vector::Breakpoint:
    case Vector::Overflow:
    case Vector::DoubleFault:
    case Vector::MachineCheck:
      return 0;
    default:
      return kFlagRf;
  }
}

// The values that the frame of one event through one gate needs.
struct GateEntry {
  Descriptor gate;
  Descriptor code;
  uint16_t selector = 0;
  OperandSize size = OperandSize::Bits32;
  uint32_t flags = 0;  // EFLAGS image to push
  uint32_t external = 0;
};

uint32_t handler_flags(const GuestState& state, const Descriptor& gate) {
  uint32_t flags = state.eflags & ~(kFlagTf | kFlagNt | kFlagRf | kFlagVm);
  const unsigned type = gate.type();
  if (type == kTypeInterruptGate16 || type == kTypeInterruptGate32) {
    flags &= ~kFlagIf;
  }
  return flags;
}

void push_frame_tail(StackPusher& pusher, const GuestState& state, const GateEntry& entry,
                     const Event& event) {
  pusher.push(entry.flags);
  pusher.push(state.seg(SegmentRegister::Cs).selector);
  pusher.push(event.return_eip.value());
  if (event.has_error_code) {
    pusher.push(event.error_code);
  }
}

// Shared by every way in: the limit check and accessed bit of the handler's code segment.
MaybeFault prepare_code(CpuContext& cpu, GateEntry* entry) {
  if (entry->gate.gate_offset() > entry->code.byte_limit()) {
    return GuestFault::general_protection(entry->external);
  }
  return mark_accessed(cpu, entry->selector, &entry->code);
}

MaybeFault enter_same_ring(CpuContext& cpu, GateEntry& entry, const Event& event) {
  GuestState& state = cpu.state;
  StackPusher pusher(cpu, state.seg(SegmentRegister::Ss), state.reg(Gpr::Esp), entry.size,
                     state.privilege(), GuestFault::with_code(Vector::StackFault, entry.external));
  push_frame_tail(pusher, state, entry, event);
  RETURN_IF_FAULT(pusher.check_room());
  RETURN_IF_FAULT(prepare_code(cpu, &entry));
  RETURN_IF_FAULT(pusher.commit());
  state.reg(Gpr::Esp) = pusher.esp();
  state.eflags = handler_flags(state, entry.gate);
  enter_code(state, entry.code, entry.selector, state.cpl, entry.gate.gate_offset());
  return kNoFault;
}

// V86 data segments mean nothing to a protected-mode handler: pushed, then null (SDM 3B 20.3.1.1).
void push_v86_segments(StackPusher& pusher, const GuestState& state) {
  for (const SegmentRegister name :
       {SegmentRegister::Gs, SegmentRegister::Fs, SegmentRegister::Ds, SegmentRegister::Es}) {
    pusher.push(state.seg(name).selector);
  }
}

void null_data_segments(GuestState& state) {
  for (const SegmentRegister name :
       {SegmentRegister::Gs, SegmentRegister::Fs, SegmentRegister::Ds, SegmentRegister::Es}) {
    state.seg(name) = SegmentCache{};
  }
}

MaybeFault enter_inner_ring(CpuContext& cpu, GateEntry& entry, const Event& event) {
  GuestState& state = cpu.state;
  const unsigned ring = entry.code.dpl();
  const bool from_v86 = state.v86_mode();
  InnerStack stack;
  RETURN_IF_FAULT(load_inner_stack(cpu, ring, entry.external, &stack));
  StackPusher pusher(cpu, stack.ss, stack.esp, entry.size, Privilege::Supervisor,
                     selector_fault(Vector::StackFault, stack.ss.selector, entry.external));
  if (from_v86) {
    push_v86_segments(pusher, state);
  }
  pusher.push(state.seg(SegmentRegister::Ss).selector);
  pusher.push(state.reg(Gpr::Esp));
  push_frame_tail(pusher, state, entry, event);
  RETURN_IF_FAULT(pusher.check_room());
  RETURN_IF_FAULT(prepare_code(cpu, &entry));
  RETURN_IF_FAULT(pusher.commit());
  if (from_v86) {
    null_data_segments(state);
  }
  state.seg(SegmentRegister::Ss) = stack.ss;
  state.reg(Gpr::Esp) = pusher.esp();
  state.eflags = handler_flags(state, entry.gate);
  enter_code(state, entry.code, entry.selector, ring, entry.gate.gate_offset());
  return kNoFault;
}

MaybeFault deliver_through_gate(CpuContext& cpu, const Descriptor& gate, const Event& event) {
  GateEntry entry;
  entry.gate = gate;
  entry.selector = gate.gate_selector();
  entry.size = (gate.type() & kTypeSize32Bit) != 0 ? OperandSize::Bits32 : OperandSize::Bits16;
  entry.external = external_bit(event);
  entry.flags = cpu.state.eflags | pushed_rf(event);
  if (is_null_selector(entry.selector)) {
    return GuestFault::general_protection(entry.external);
  }
  RETURN_IF_FAULT(require_descriptor(cpu, entry.selector, Vector::GeneralProtection, entry.external,
                                     &entry.code));
  const GuestFault bad = selector_fault(Vector::GeneralProtection, entry.selector, entry.external);
  const unsigned cpl = cpu.state.cpl;
  if (!entry.code.is_code() || entry.code.dpl() > cpl) {
    return bad;
  }
  if (!entry.code.present()) {
    return selector_fault(Vector::SegmentNotPresent, entry.selector, entry.external);
  }
  const bool inner = !entry.code.is_conforming_code() && entry.code.dpl() < cpl;
  if (cpu.state.v86_mode() && (!inner || entry.code.dpl() != 0)) {
    return bad;
  }
  return inner ? enter_inner_ring(cpu, entry, event) : enter_same_ring(cpu, entry, event);
}

MaybeFault deliver_through_task_gate(CpuContext& cpu, const Descriptor& gate, const Event& event,
                                     bool* task_switched) {
  TaskSwitchRequest request;
  request.selector = gate.gate_selector();
  request.source = TaskSwitchSource::Gate;
  request.return_eip = event.return_eip;
  request.push_error_code = event.has_error_code;
  request.error_code = event.error_code;
  request.external = external_bit(event);
  request.saved_flags = pushed_rf(event);
  return perform_task_switch(cpu, request, task_switched);
}

bool is_interrupt_or_trap_gate(unsigned type) {
  return type == kTypeInterruptGate16 || type == kTypeTrapGate16 || type == kTypeInterruptGate32 ||
         type == kTypeTrapGate32;
}

MaybeFault deliver_protected(CpuContext& cpu, const Event& event, bool* task_switched) {
  const GuestState& state = cpu.state;
  if (event.kind == EventKind::SoftwareInterrupt && state.v86_mode() && state.iopl() < 3) {
    return GuestFault::general_protection(0);
  }
  const uint32_t offset = uint32_t{event.vector} * 8;
  if (offset + 7 > state.idtr.limit) {
    return GuestFault::general_protection(idt_error(event));
  }
  uint64_t raw = 0;
  RETURN_IF_FAULT(
      cpu.memory.read_value(GuestVirtual(state.idtr.base + offset), Privilege::Supervisor, &raw));
  const Descriptor gate{static_cast<uint32_t>(raw), static_cast<uint32_t>(raw >> 32)};
  const bool task_gate = gate.type() == kTypeTaskGate;
  if (!gate.is_system() || (!task_gate && !is_interrupt_or_trap_gate(gate.type()))) {
    return GuestFault::general_protection(idt_error(event));
  }
  if (is_software(event) && gate.dpl() < state.cpl) {
    return GuestFault::general_protection(idt_error(event));
  }
  if (!gate.present()) {
    return GuestFault::with_code(Vector::SegmentNotPresent, idt_error(event));
  }
  return task_gate ? deliver_through_task_gate(cpu, gate, event, task_switched)
                   : deliver_through_gate(cpu, gate, event);
}

// Through the interrupt vector table: no privilege, no error code (SDM 3B 20.1.4).
MaybeFault deliver_real(CpuContext& cpu, const Event& event) {
  GuestState& state = cpu.state;
  const uint32_t offset = uint32_t{event.vector} * 4;
  if (offset + 3 > state.idtr.limit) {
    return GuestFault::general_protection(idt_error(event));
  }
  uint32_t vector = 0;
  RETURN_IF_FAULT(cpu.memory.read_value(GuestVirtual(state.idtr.base + offset),
                                        Privilege::Supervisor, &vector));
  StackPusher pusher(cpu, state.seg(SegmentRegister::Ss), state.reg(Gpr::Esp), OperandSize::Bits16,
                     Privilege::Supervisor,
                     GuestFault::with_code(Vector::StackFault, external_bit(event)));
  pusher.push(state.eflags);
  pusher.push(state.seg(SegmentRegister::Cs).selector);
  pusher.push(event.return_eip.value());
  RETURN_IF_FAULT(pusher.commit());
  state.reg(Gpr::Esp) = pusher.esp();
  state.eflags &= ~(kFlagIf | kFlagTf | kFlagAc | kFlagRf);
  load_real_mode_segment(state, SegmentRegister::Cs, static_cast<uint16_t>(vector >> 16));
  state.eip = vector & 0xffffU;
  return kNoFault;
}

// CR2 and DR6 tell of the exception, whether or not its handler can be reached.
void record_event(GuestState& state, const Event& event) {
  if (is_exception(event, Vector::PageFault)) {
    state.cr2 = event.cr2;
  }
  if (is_exception(event, Vector::Debug)) {
    state.dr[6] |= event.dr6_bits;
    state.dr[7] &= ~kDr7GeneralDetect;
  }
}

enum class FaultClass : uint8_t { Benign, Contributory, PageFault };

FaultClass classify(Vector vector) {
  switch (vector) {
    case Vector::DivideError:
    case Vector::InvalidTss:
    case Vector::SegmentNotPresent:
    case Vector::StackFault:
    case Vector::GeneralProtection:
      return FaultClass::Contributory;
    case Vector::PageFault:
      return FaultClass::PageFault;
    default:
      return FaultClass::Benign;
  }
}

// SDM 3A table 6-5: does `second`, raised while delivering `first`, make a double fault?
bool makes_double_fault(const Event& first, FaultClass second) {
  if (first.kind != EventKind::Exception || second == FaultClass::Benign) {
    return false;
  }
  switch (classify(static_cast<Vector>(first.vector))) {
    case FaultClass::Contributory:
      return second == FaultClass::Contributory;
    case FaultClass::PageFault:
      return true;
    case FaultClass::Benign:
      return false;
  }
  return false;
}

}  // namespace

Event Event::from_fault(const GuestFault& fault, Eip eip) {
  Event event;
  event.kind = EventKind::Exception;
  event.vector = static_cast<uint8_t>(fault.vector);
  event.has_error_code = fault.has_error_code;
  event.error_code = fault.error_code;
  event.cr2 = fault.cr2;
  event.dr6_bits = fault.dr6_bits;
  event.return_eip = eip;
  return event;
}

DeliveryResult deliver(CpuContext& cpu, const Event& event, Eip instruction_eip) {
  GuestState& state = cpu.state;
  Event current = event;
  if (event.kind == EventKind::Nmi) state.nmi_blocked = 1;
  for (;;) {
    record_event(state, current);
    bool task_switched = false;
    const MaybeFault fault = state.protected_mode()
                                 ? deliver_protected(cpu, current, &task_switched)
                                 : deliver_real(cpu, current);
    if (!fault) {
      state.activity = ActivityState::Running;
      state.interrupt_shadow = 0;
      return DeliveryResult::Delivered;
    }
    if (task_switched) {
      instruction_eip = state.pointer();
    }
    // A handler of #AC at CPL 3 whose own stack is misaligned: a processor tries for ever. The
    // instruction is run again instead, which raises #AC again, and others get in meanwhile.
    if (is_exception(current, Vector::AlignmentCheck) && fault->vector == Vector::AlignmentCheck) {
      return DeliveryResult::Delivered;
    }
    const FaultClass second = classify(fault->vector);
    if (is_exception(current, Vector::DoubleFault) && second != FaultClass::Benign) {
      state.activity = ActivityState::Shutdown;
      return DeliveryResult::Shutdown;
    }
    if (makes_double_fault(current, second)) {
      // The page fault that caused it leaves its address in CR2 all the same.
      record_event(state, Event::from_fault(*fault, instruction_eip));
      current = Event::from_fault(GuestFault::with_code(Vector::DoubleFault, 0), instruction_eip);
    } else {
      current = Event::from_fault(*fault, instruction_eip);
    }
  }
}

}  // namespace ringshift

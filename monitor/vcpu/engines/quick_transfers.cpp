#include "monitor/vcpu/engines/quick_transfers.h"

#include "monitor/cpu/segments/descriptor_access.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// Flags that IRETD at CPL 0 loads (SDM 2A IRET); VM is declined.
constexpr uint32_t kFlagsReturned = kFlagsArithmetic | kFlagTf | kFlagDf | kFlagNt | kFlagRf |
                                    kFlagAc | kFlagId | kFlagIf | kFlagIopl | kFlagVif | kFlagVip;
constexpr uint32_t kAccessed = 0x100;  // of a descriptor's high word

Descriptor descriptor_of(uint64_t bytes) {
  return {static_cast<uint32_t>(bytes), static_cast<uint32_t>(bytes >> 32)};
}

bool is_flat_stack(const SegmentCache& ss) {
  return ss.base == 0 && ss.limit == 0xffffffffU && ss.default_32() && !ss.is_expand_down();
}

// A frame in one page is written whole or, with a fault, not at all.
bool in_one_page(uint32_t address, uint32_t bytes) {
  return (address & (kPageSize - 1)) + bytes <= kPageSize;
}

// Faults push RF set; traps, aborts and breakpoints have rules of their own (SDM 3B 17.3.1.1).
bool is_plain_fault(uint8_t vector) {
  switch (static_cast<Vector>(vector)) {
    case Vector::Debug:
    case Vector::Nmi:
    case Vector::Breakpoint:
    case Vector::Overflow:
    case Vector::DoubleFault:
    case Vector::MachineCheck:
      return false;
    default:
      return true;
  }
}

bool is_plain(const Event& event) {
  switch (event.kind) {
    case EventKind::HardwareInterrupt:
    case EventKind::SoftwareInterrupt:
      return true;
    case EventKind::Exception:
      return is_plain_fault(event.vector);
    default:
      return false;
  }
}

bool is_plain_mode(const GuestState& state) {
  return state.protected_mode() && !state.v86_mode() && (state.cpl == 0 || state.cpl == 3);
}

}  // namespace

uint8_t QuickTransfers::roles_of(uint64_t bytes, uint16_t selector) {
  const Descriptor descriptor = descriptor_of(bytes);
  if (!descriptor.present() || descriptor.is_system() || (descriptor.high & kAccessed) == 0) {
    return 0;
  }
  const unsigned dpl = descriptor.dpl();
  if (descriptor.is_code()) {
    if (descriptor.is_conforming_code()) return 0;
    return dpl == 0 ? kCodeRing0 : dpl == 3 ? kCodeRing3 : 0;
  }
  const SegmentCache cache = descriptor.cache(selector);
  if (!descriptor.is_writable_data() || !cache.default_32() || selector_rpl(selector) != dpl) {
    return 0;
  }
  if (dpl == 0) return is_flat_stack(cache) ? kStackRing0 : 0;
  return dpl == 3 ? kStackRing3 : 0;
}

// The descriptor as it would be loaded in this role; null if it is not in the GDT, its page faults
// or anything about it needs a closer look.
const SegmentCache* QuickTransfers::find(uint16_t selector, Role role) {
  const DescriptorTableRegister& gdtr = cpu_.state.gdtr;
  const uint32_t offset = selector & 0xfff8U;
  if ((selector & kSelectorTi) != 0 || offset == 0 || offset + 7 > gdtr.limit) return nullptr;
  uint64_t bytes = 0;
  if (cpu_.memory.read_value(GuestVirtual(gdtr.base + offset), Privilege::Supervisor, &bytes)) {
    return nullptr;
  }
  Judged& judged = judged_[selector & 0xffU];
  if (judged.selector != selector || judged.bytes != bytes) {
    judged = {bytes, descriptor_of(bytes).cache(selector), selector, roles_of(bytes, selector)};
  }
  return (judged.roles & role) != 0 ? &judged.cache : nullptr;
}

// From the TSS at CPL 3, the current one at CPL 0.
bool QuickTransfers::ring_0_stack(Stack* stack) {
  const GuestState& state = cpu_.state;
  if (state.cpl == 0) {
    *stack = {state.seg(SegmentRegister::Ss), state.reg(Gpr::Esp)};
    return is_flat_stack(stack->ss);
  }
  constexpr uint32_t kEsp0 = 4;  // SDM 3A figure 7-2
  constexpr uint32_t kSs0 = 8;
  const SegmentCache& tr = state.tr;
  if (!tr.usable() || (tr.attributes & kTypeSize32Bit) == 0 || kSs0 + 1 > tr.limit) return false;
  uint16_t selector = 0;
  if (cpu_.memory.read_value(GuestVirtual(tr.base + kEsp0), Privilege::Supervisor, &stack->esp) ||
      cpu_.memory.read_value(GuestVirtual(tr.base + kSs0), Privilege::Supervisor, &selector)) {
    return false;
  }
  const SegmentCache* ss = find(selector, kStackRing0);
  if (ss == nullptr) return false;
  stack->ss = *ss;
  return true;
}

bool QuickTransfers::deliver(const Event& event) {
  GuestState& state = cpu_.state;
  const uint32_t offset = uint32_t{event.vector} * 8;
  if (!is_plain_mode(state) || !is_plain(event) || offset + 7 > state.idtr.limit) return false;
  uint64_t bytes = 0;
  if (cpu_.memory.read_value(GuestVirtual(state.idtr.base + offset), Privilege::Supervisor,
                             &bytes)) {
    return false;
  }
  const Descriptor gate = descriptor_of(bytes);
  const bool is_interrupt = gate.type() == kTypeInterruptGate32;
  if (!gate.present() || !gate.is_system() || (!is_interrupt && gate.type() != kTypeTrapGate32) ||
      (event.kind == EventKind::SoftwareInterrupt && gate.dpl() < state.cpl)) {
    return false;
  }
  const SegmentCache* code = find(gate.gate_selector(), kCodeRing0);
  if (code == nullptr || gate.gate_offset() > code->limit) return false;
  SegmentCache cs = *code;
  cs.selector = with_rpl(cs.selector, 0);
  Stack stack;
  if (!ring_0_stack(&stack)) return false;

  std::array<uint32_t, 6> frame{};
  uint32_t count = 0;
  if (event.has_error_code) frame[count++] = event.error_code;
  frame[count++] = event.return_eip.value();
  frame[count++] = state.seg(SegmentRegister::Cs).selector;
  frame[count++] = state.eflags | (event.kind == EventKind::Exception ? kFlagRf : 0);
  if (state.cpl != 0) {
    frame[count++] = state.reg(Gpr::Esp);
    frame[count++] = state.seg(SegmentRegister::Ss).selector;
  }
  const uint32_t frame_bytes = count * 4;
  const uint32_t esp = stack.esp - frame_bytes;
  if (!in_one_page(esp, frame_bytes) ||
      cpu_.memory.write(GuestVirtual(esp), frame.data(), frame_bytes, Privilege::Supervisor)) {
    return false;
  }
  if (event.kind == EventKind::Exception &&
      event.vector == static_cast<uint8_t>(Vector::PageFault)) {
    state.cr2 = event.cr2;
  }
  state.seg(SegmentRegister::Ss) = stack.ss;
  state.reg(Gpr::Esp) = esp;
  state.eflags &= ~(kFlagTf | kFlagNt | kFlagRf | kFlagVm | (is_interrupt ? kFlagIf : 0));
  state.seg(SegmentRegister::Cs) = cs;
  state.cpl = 0;
  state.eip = gate.gate_offset();
  state.activity = ActivityState::Running;
  state.interrupt_shadow = 0;
  counters().quick_deliveries++;
  return true;
}

bool QuickTransfers::return_from_interrupt() {
  GuestState& state = cpu_.state;
  const uint32_t esp = state.reg(Gpr::Esp);
  std::array<uint32_t, 3> frame{};  // EIP, CS, EFLAGS
  if (!is_plain_mode(state) || state.cpl != 0 || (state.eflags & kFlagNt) != 0 ||
      state.nmi_blocked != 0 || !is_flat_stack(state.seg(SegmentRegister::Ss)) ||
      !in_one_page(esp, sizeof(frame)) ||
      cpu_.memory.read(GuestVirtual(esp), frame.data(), sizeof(frame), Privilege::Supervisor)) {
    return false;
  }
  const auto selector = static_cast<uint16_t>(frame[1]);
  const unsigned ring = selector_rpl(selector);
  if ((frame[2] & kFlagVm) != 0 || (ring != 0 && ring != 3)) return false;
  const SegmentCache* code = find(selector, ring == 0 ? kCodeRing0 : kCodeRing3);
  if (code == nullptr || frame[0] > code->limit) return false;
  const SegmentCache cs = *code;
  std::array<uint32_t, 2> outer{};  // ESP, SS
  const uint32_t outer_at = esp + static_cast<uint32_t>(sizeof(frame));
  if (ring == 3) {
    if (!in_one_page(outer_at, sizeof(outer)) ||
        cpu_.memory.read(GuestVirtual(outer_at), outer.data(), sizeof(outer),
                         Privilege::Supervisor)) {
      return false;
    }
    const SegmentCache* ss = find(static_cast<uint16_t>(outer[1]), kStackRing3);
    if (ss == nullptr) return false;
    state.seg(SegmentRegister::Ss) = *ss;
    state.reg(Gpr::Esp) = outer[0];
  } else {
    state.reg(Gpr::Esp) = outer_at;
  }
  state.seg(SegmentRegister::Cs) = cs;
  state.cpl = static_cast<uint8_t>(ring);
  state.eip = frame[0];
  state.eflags = (state.eflags & ~kFlagsReturned) | (frame[2] & kFlagsReturned) | kFlagReservedOne;
  if (ring == 3) drop_privileged_data_segments(state);
  counters().quick_returns++;
  return true;
}

}  // namespace ringshift

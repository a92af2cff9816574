// Interpreter: jumps, calls, returns near and far, LOOP, JCXZ, INT n, INT3, INTO, INT1, BOUND,
// IRET. See SDM 2A/2B, one page each. Far transfers themselves are segmentation's.
#include <array>
#include <type_traits>
#include <utility>

#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

// A near target outside the code segment faults at the jump, not at the next fetch (SDM 2A JMP).
MaybeFault jump_to(Execution& x, uint32_t target) {
  if (target > x.state.seg(SegmentRegister::Cs).limit) return general_protection();
  x.next_eip = Eip(target);
  return kNoFault;
}

// `operand_bytes` 2 truncates EIP to 16 bits, whatever the code segment.
uint32_t truncated(const Operation& op, uint32_t eip) {
  return op.operand_bytes == 2 ? eip & 0xffffU : eip;
}
uint32_t relative_target(const Execution& x, const Operation& op) {
  return truncated(op, x.next_eip.value() + op.immediate);
}

MaybeFault jump_relative(Execution& x, const Operation& op) {
  return jump_to(x, relative_target(x, op));
}

template <unsigned kCode>
MaybeFault jump_conditional(Execution& x, const Operation& op) {
  if (!condition_holds(kCode, x.state.eflags)) return kNoFault;
  return jump_to(x, relative_target(x, op));
}

MaybeFault jump_if_count_zero(Execution& x, const Operation& op) {
  if ((x.state.reg(Gpr::Ecx) & address_mask(op)) != 0) return kNoFault;
  return jump_to(x, relative_target(x, op));
}

// E0 LOOPNE, E1 LOOPE, E2 LOOP. The count has the address size.
MaybeFault loop(Execution& x, const Operation& op) {
  const uint32_t mask = address_mask(op);
  uint32_t& ecx = x.state.reg(Gpr::Ecx);
  const uint32_t count = (ecx - 1) & mask;
  const bool zero = (x.state.eflags & kFlagZf) != 0;
  const bool taken = count != 0 && (op.opcode == 0xe2 || zero == (op.opcode == 0xe1));
  if (taken) RETURN_IF_FAULT(jump_to(x, relative_target(x, op)));
  ecx = (ecx & ~mask) | count;
  return kNoFault;
}

template <typename T>
MaybeFault call_to(Execution& x, uint32_t target) {
  const uint32_t return_eip = x.next_eip.value();
  RETURN_IF_FAULT(jump_to(x, target));
  return push<T>(x, static_cast<T>(return_eip));
}
template <typename T>
MaybeFault call_relative(Execution& x, const Operation& op) {
  return call_to<T>(x, relative_target(x, op));
}
template <typename T>
MaybeFault call_rm(Execution& x, const Operation& op) {
  T target;
  RETURN_IF_FAULT(load_rm<T>(x, op, &target));
  return call_to<T>(x, target);
}
template <typename T>
MaybeFault jump_rm(Execution& x, const Operation& op) {
  T target;
  RETURN_IF_FAULT(load_rm<T>(x, op, &target));
  return jump_to(x, target);
}

// C2 releases parameters, C3 has no immediate (zero).
template <typename T>
MaybeFault return_near(Execution& x, const Operation& op) {
  T target;
  RETURN_IF_FAULT(read_above<T>(x, 0, &target));
  RETURN_IF_FAULT(jump_to(x, target));
  set_stack_pointer(
      x.state, x.state.reg(Gpr::Esp) + static_cast<uint32_t>(sizeof(T)) + (op.immediate & 0xffffU));
  return kNoFault;
}

// Segmentation leaves the new CS:EIP in the state; step() takes EIP from next_eip.
MaybeFault finish_far(Execution& x, MaybeFault fault) {
  if (fault) return fault;
  x.next_eip = x.state.pointer();
  return kNoFault;
}
OperandSize size_of(const Operation& op) {
  return op.operand_bytes == 2 ? OperandSize::Bits16 : OperandSize::Bits32;
}

struct FarPointer {
  uint32_t offset = 0;
  uint16_t selector = 0;
};
MaybeFault load_far_pointer(Execution& x, const Operation& op, FarPointer* pointer) {
  const uint32_t address = effective_address(x.state, op);
  const uint32_t mask = address_mask(op);
  if (op.operand_bytes == 2) {
    uint16_t offset;
    RETURN_IF_FAULT(load<uint16_t>(x, op.segment, address, &offset));
    pointer->offset = offset;
  } else {
    RETURN_IF_FAULT(load<uint32_t>(x, op.segment, address, &pointer->offset));
  }
  return load<uint16_t>(x, op.segment, (address + op.operand_bytes) & mask, &pointer->selector);
}

// Data breakpoints see what a far transfer pushes or pops on the stack of the code that makes it,
// as on the processors that were asked. They do not see frames on stacks that the transfer changes
// to.
class FarFrame {
 public:
  explicit FarFrame(const Execution& x)
      : ss_(x.state.seg(SegmentRegister::Ss)),
        task_(x.state.tr.base),
        esp_(x.state.reg(Gpr::Esp)),
        cpl_(x.state.cpl),
        is_nested_((x.state.eflags & kFlagNt) != 0) {}

  void note_pushed(Execution& x) const {
    if (!x.watching || x.state.cpl != cpl_ || x.state.tr.base != task_) return;
    constexpr uint32_t kSlots = 2;
    const uint32_t esp = x.state.reg(Gpr::Esp);
    note(x, esp, kSlots, ((esp_ - esp) & stack_mask(x.state)) / kSlots, AccessKind::Write);
  }
  // slots: of a return to the same ring; another has a stack pointer and segment besides.
  void note_popped(Execution& x, uint32_t slots, OperandSize size) const {
    if (!x.watching || x.state.tr.base != task_) return;
    const bool is_outer = x.state.cpl != cpl_;
    note(x, esp_, slots + (is_outer ? 2 : 0), static_cast<uint32_t>(size), AccessKind::Read);
  }
  // IRET from a nested task pops nothing.
  [[nodiscard]] bool is_nested() const { return is_nested_; }

 private:
  void note(Execution& x, uint32_t esp, uint32_t slots, uint32_t bytes, AccessKind kind) const {
    const uint32_t mask = ss_.default_32() ? 0xffffffffU : 0xffffU;
    for (uint32_t i = 0; i < slots; ++i) {
      note_data_access(x, GuestVirtual(ss_.base + ((esp + i * bytes) & mask)), bytes, kind);
    }
  }

  SegmentCache ss_;
  uint32_t task_;
  uint32_t esp_;
  uint8_t cpl_;
  bool is_nested_;
};

MaybeFault finish_far_call(Execution& x, const FarFrame& frame, const MaybeFault& fault) {
  if (!fault) frame.note_pushed(x);
  return finish_far(x, fault);
}

MaybeFault jump_far_immediate(Execution& x, const Operation& op) {
  return finish_far(x, far_jump(x.cpu, static_cast<uint16_t>(op.immediate2),
                                truncated(op, op.immediate), size_of(op), x.next_eip));
}
MaybeFault call_far_immediate(Execution& x, const Operation& op) {
  const FarFrame frame(x);
  return finish_far_call(x, frame,
                         far_call(x.cpu, static_cast<uint16_t>(op.immediate2),
                                  truncated(op, op.immediate), size_of(op), x.next_eip));
}
MaybeFault jump_far_memory(Execution& x, const Operation& op) {
  FarPointer pointer;
  RETURN_IF_FAULT(load_far_pointer(x, op, &pointer));
  return finish_far(x, far_jump(x.cpu, pointer.selector, pointer.offset, size_of(op), x.next_eip));
}
MaybeFault call_far_memory(Execution& x, const Operation& op) {
  FarPointer pointer;
  RETURN_IF_FAULT(load_far_pointer(x, op, &pointer));
  const FarFrame frame(x);
  return finish_far_call(
      x, frame, far_call(x.cpu, pointer.selector, pointer.offset, size_of(op), x.next_eip));
}
MaybeFault return_far(Execution& x, const Operation& op) {
  const FarFrame frame(x);
  const MaybeFault fault = far_return(x.cpu, static_cast<uint16_t>(op.immediate), size_of(op));
  if (!fault) frame.note_popped(x, 2, size_of(op));
  return finish_far(x, fault);
}

MaybeFault interrupt_return_handler(Execution& x, const Operation& op) {
  GuestState& state = x.state;
  if (state.v86_mode() && state.iopl() < 3) return general_protection();
  x.keep_resume_flag = true;
  const FarFrame frame(x);
  const MaybeFault fault = interrupt_return(x.cpu, size_of(op), x.next_eip);
  if (!fault && !frame.is_nested()) frame.note_popped(x, 3, size_of(op));
  return finish_far(x, fault);
}

MaybeFault raise_software_event(Execution& x, uint8_t vector, bool exception) {
  x.kind = StepKind::SoftwareEvent;
  x.vector = vector;
  x.software_exception = exception;
  return kNoFault;
}
// INT n is IOPL-sensitive in V86 mode; INT3 and INTO are not (SDM 3B 20.2.4).
MaybeFault interrupt_n(Execution& x, const Operation& op) {
  if (x.state.v86_mode() && x.state.iopl() < 3) return general_protection();
  return raise_software_event(x, static_cast<uint8_t>(op.immediate), false);
}
MaybeFault interrupt_3(Execution& x, const Operation&) { return raise_software_event(x, 3, true); }
MaybeFault interrupt_overflow(Execution& x, const Operation&) {
  return (x.state.eflags & kFlagOf) != 0 ? raise_software_event(x, 4, true) : kNoFault;
}
// F1 raises #DB as a trap, without the gate's DPL check and without bits in DR6.
MaybeFault interrupt_1(Execution& x, const Operation&) {
  x.debug_trap = true;
  return kNoFault;
}

template <typename T>
MaybeFault bound(Execution& x, const Operation& op) {
  using Signed = std::make_signed_t<T>;
  const uint32_t address = effective_address(x.state, op);
  T lower;
  T upper;
  RETURN_IF_FAULT(load<T>(x, op.segment, address, &lower));
  RETURN_IF_FAULT(load<T>(x, op.segment,
                          (address + static_cast<uint32_t>(sizeof(T))) & address_mask(op), &upper));
  const auto index = static_cast<Signed>(register_of<T>(x.state, op.reg));
  if (index < static_cast<Signed>(lower) || index > static_cast<Signed>(upper)) {
    return GuestFault::simple(Vector::BoundRange);
  }
  return kNoFault;
}

template <size_t... kCodes>
constexpr std::array<Handler, 16> conditional_handlers(std::index_sequence<kCodes...>) {
  return {jump_conditional<kCodes>...};
}
constexpr std::array<Handler, 16> kConditional =
    conditional_handlers(std::make_index_sequence<16>());

#define RINGSHIFT_SIZED(handler) by_size(e.operand_bytes, handler<uint16_t>, handler<uint32_t>)

Handler select_group_5(const Encoding& e) {
  switch (e.reg) {
    case 2:
      return RINGSHIFT_SIZED(call_rm);
    case 3:
      return e.mod == 3 ? nullptr : call_far_memory;
    case 4:
      return RINGSHIFT_SIZED(jump_rm);
    case 5:
      return e.mod == 3 ? nullptr : jump_far_memory;
    default:
      return nullptr;
  }
}

}  // namespace

Handler select_control(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_0F) {
    return (e.opcode & 0xf0U) == 0x80 ? kConditional[e.opcode & 0xfU] : nullptr;
  }
  if (e.map != ZYDIS_OPCODE_MAP_DEFAULT) return nullptr;
  if ((e.opcode & 0xf0U) == 0x70) return kConditional[e.opcode & 0xfU];
  switch (e.opcode) {
    case 0x62:
      return e.mod == 3 ? nullptr : RINGSHIFT_SIZED(bound);
    case 0x9a:
      return call_far_immediate;
    case 0xc2:
    case 0xc3:
      return RINGSHIFT_SIZED(return_near);
    case 0xca:
    case 0xcb:
      return return_far;
    case 0xcc:
      return interrupt_3;
    case 0xcd:
      return interrupt_n;
    case 0xce:
      return interrupt_overflow;
    case 0xcf:
      return interrupt_return_handler;
    case 0xe0:
    case 0xe1:
    case 0xe2:
      return loop;
    case 0xe3:
      return jump_if_count_zero;
    case 0xe8:
      return RINGSHIFT_SIZED(call_relative);
    case 0xe9:
    case 0xeb:
      return jump_relative;
    case 0xea:
      return jump_far_immediate;
    case 0xf1:
      return interrupt_1;
    case 0xff:
      return select_group_5(e);
    default:
      return nullptr;
  }
}

#undef RINGSHIFT_SIZED

}  // namespace ringshift::interp

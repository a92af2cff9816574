// Interpreter: PUSH, POP, PUSHA, POPA, ENTER, LEAVE, PUSHF, POPF.
// See SDM 2B, one page each; SDM 1 6.2 for the stack's address size.
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
MaybeFault push_register(Execution& x, const Operation& op) {
  return push<T>(x, register_of<T>(x.state, op.rm));
}
template <typename T>
MaybeFault push_immediate(Execution& x, const Operation& op) {
  return push<T>(x, static_cast<T>(op.immediate));
}
template <typename T>
MaybeFault push_rm(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(load_rm<T>(x, op, &value));
  return push<T>(x, value);
}

// POP ESP takes the value read, after the increment.
template <typename T>
MaybeFault pop_register(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(read_above<T>(x, 0, &value));
  set_stack_pointer(x.state, x.state.reg(Gpr::Esp) + static_cast<uint32_t>(sizeof(T)));
  register_of<T>(x.state, op.rm) = value;
  return kNoFault;
}

// The address of POP [ESP+n] is computed with ESP already incremented (SDM 2B POP).
template <typename T>
MaybeFault pop_rm(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(read_above<T>(x, 0, &value));
  const uint32_t old_esp = x.state.reg(Gpr::Esp);
  set_stack_pointer(x.state, old_esp + static_cast<uint32_t>(sizeof(T)));
  MaybeFault fault = store_rm<T>(x, op, value);
  if (fault) x.state.reg(Gpr::Esp) = old_esp;
  return fault;
}

template <typename T>
MaybeFault push_all(Execution& x, const Operation&) {
  for (unsigned i = 0; i < kGprCount; ++i) {
    RETURN_IF_FAULT(
        write_below<T>(x, i * static_cast<uint32_t>(sizeof(T)), register_of<T>(x.state, i)));
  }
  set_stack_pointer(x.state, x.state.reg(Gpr::Esp) - 8U * static_cast<uint32_t>(sizeof(T)));
  return kNoFault;
}

template <typename T>
MaybeFault pop_all(Execution& x, const Operation&) {
  std::array<T, kGprCount> values{};
  constexpr auto kSize = static_cast<uint32_t>(sizeof(T));
  constexpr auto kEsp = static_cast<unsigned>(Gpr::Esp);
  for (unsigned i = kGprCount; i-- > 0;) {  // EDI is popped first: its address is the one to fault
    if (i == kEsp) continue;
    RETURN_IF_FAULT(read_above<T>(x, (7U - i) * kSize, &values[i]));
  }
  for (unsigned i = 0; i < kGprCount; ++i) {
    if (i != kEsp) register_of<T>(x.state, i) = values[i];
  }
  set_stack_pointer(x.state, x.state.reg(Gpr::Esp) + 8U * kSize);
  return kNoFault;
}

// ENTER checks that the new top of stack can be written before it changes ESP (SDM 2A ENTER). That
// is no access: data breakpoints do not see it. The frame pointer is ESP as the first push leaves
// it: where a 16-bit stack wraps, the upper half stays.
template <typename T>
MaybeFault enter(Execution& x, const Operation& op) {
  constexpr auto kSize = static_cast<uint32_t>(sizeof(T));
  GuestState& state = x.state;
  const uint32_t mask = stack_mask(state);
  const uint32_t level = op.immediate2 & 31U;
  RETURN_IF_FAULT(write_below<T>(x, 0, register_of<T>(state, 5)));
  const uint32_t frame = moved_stack_pointer(state, state.reg(Gpr::Esp) - kSize);
  uint32_t depth = kSize;
  for (uint32_t i = 1; i < level; ++i) {
    T link;
    const uint32_t offset = (state.reg(Gpr::Ebp) - i * kSize) & mask;
    RETURN_IF_FAULT(load<T>(x, SegmentRegister::Ss, offset, &link));
    RETURN_IF_FAULT(write_below<T>(x, depth, link));
    depth += kSize;
  }
  if (level > 0) {
    RETURN_IF_FAULT(write_below<T>(x, depth, static_cast<T>(frame)));
    depth += kSize;
  }
  const uint32_t new_esp = state.reg(Gpr::Esp) - depth - (op.immediate & 0xffffU);
  GuestVirtual linear;
  RETURN_IF_FAULT(linear_address(x.cpu, SegmentRegister::Ss, GuestOffset(new_esp & mask), kSize,
                                 AccessKind::Write, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, kSize));
  RETURN_IF_FAULT(x.memory.probe_write(linear, kSize, x.privilege()));
  register_of<T>(state, 5) = static_cast<T>(frame);
  set_stack_pointer(state, new_esp);
  return kNoFault;
}

template <typename T>
MaybeFault leave(Execution& x, const Operation&) {
  constexpr auto kSize = static_cast<uint32_t>(sizeof(T));
  const uint32_t ebp = x.state.reg(Gpr::Ebp);
  T value;
  RETURN_IF_FAULT(load<T>(x, SegmentRegister::Ss, ebp & stack_mask(x.state), &value));
  set_stack_pointer(x.state, ebp + kSize);
  register_of<T>(x.state, 5) = value;
  return kNoFault;
}

bool flags_need_monitor(const GuestState& state) { return state.v86_mode() && state.iopl() < 3; }

template <typename T>
MaybeFault push_flags(Execution& x, const Operation&) {
  if (flags_need_monitor(x.state)) return general_protection();
  return push<T>(x, static_cast<T>(x.state.eflags & ~(kFlagRf | kFlagVm)));
}

// SDM 2B POPF, table 4-16.
template <typename T>
MaybeFault pop_flags(Execution& x, const Operation&) {
  GuestState& state = x.state;
  if (flags_need_monitor(state)) return general_protection();
  T value;
  RETURN_IF_FAULT(read_above<T>(x, 0, &value));
  uint32_t writable = kFlagsArithmetic | kFlagTf | kFlagDf | kFlagNt;
  if (sizeof(T) == 4) writable |= kFlagAc | kFlagId;
  if (state.cpl == 0) writable |= kFlagIopl;
  if (state.cpl <= state.iopl() || state.v86_mode()) writable |= kFlagIf;
  // VIF and VIP are cleared by the 32-bit form outside V86.
  uint32_t cleared = kFlagRf;
  if (sizeof(T) == 4 && !state.v86_mode()) cleared |= kFlagVif | kFlagVip;
  state.eflags = (state.eflags & ~(writable | cleared)) | (value & writable) | kFlagReservedOne;
  set_stack_pointer(state, state.reg(Gpr::Esp) + static_cast<uint32_t>(sizeof(T)));
  return kNoFault;
}

}  // namespace

#define RINGSHIFT_SIZED(handler) by_size(e.operand_bytes, handler<uint16_t>, handler<uint32_t>)

Handler select_stack(const Encoding& e) {
  if (e.map != ZYDIS_OPCODE_MAP_DEFAULT) return nullptr;
  if ((e.opcode & 0xf8U) == 0x50) return RINGSHIFT_SIZED(push_register);
  if ((e.opcode & 0xf8U) == 0x58) return RINGSHIFT_SIZED(pop_register);
  switch (e.opcode) {
    case 0x60:
      return RINGSHIFT_SIZED(push_all);
    case 0x61:
      return RINGSHIFT_SIZED(pop_all);
    case 0x68:
    case 0x6a:
      return RINGSHIFT_SIZED(push_immediate);
    case 0x8f:
      return e.reg == 0 ? RINGSHIFT_SIZED(pop_rm) : nullptr;
    case 0x9c:
      return RINGSHIFT_SIZED(push_flags);
    case 0x9d:
      return RINGSHIFT_SIZED(pop_flags);
    case 0xc8:
      return RINGSHIFT_SIZED(enter);
    case 0xc9:
      return RINGSHIFT_SIZED(leave);
    case 0xff:
      return e.reg == 6 ? RINGSHIFT_SIZED(push_rm) : nullptr;
    default:
      return nullptr;
  }
}

#undef RINGSHIFT_SIZED

}  // namespace ringshift::interp

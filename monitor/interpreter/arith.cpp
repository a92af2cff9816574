// Interpreter: ADD OR ADC SBB AND SUB XOR CMP, TEST, INC, DEC, NEG, NOT, XADD, CMPXCHG, CMPXCHG8B.
// See SDM 2A/2B, one page each.
#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
using Binary = T (*)(T, T, uint32_t*);

enum class Form : uint8_t { RmReg, RegRm, AccumulatorImmediate, RmImmediate };

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault rm_with(Execution& x, const Operation& op, T source) {
  if constexpr (kKeep) {
    return update_rm<T>(
        x, op, [source](T old, uint32_t* eflags) { return kCompute(old, source, eflags); });
  } else {
    T value;
    RETURN_IF_FAULT(load_rm<T>(x, op, &value));
    (void)kCompute(value, source, &x.state.eflags);
    return kNoFault;
  }
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault alu_rm_reg(Execution& x, const Operation& op) {
  return rm_with<T, kCompute, kKeep>(x, op, register_of<T>(x.state, op.reg));
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault alu_rm_immediate(Execution& x, const Operation& op) {
  return rm_with<T, kCompute, kKeep>(x, op, static_cast<T>(op.immediate));
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault alu_reg_rm(Execution& x, const Operation& op) {
  T source;
  RETURN_IF_FAULT(load_rm<T>(x, op, &source));
  T& destination = register_of<T>(x.state, op.reg);
  const T result = kCompute(destination, source, &x.state.eflags);
  if constexpr (kKeep) destination = result;
  return kNoFault;
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault alu_accumulator_immediate(Execution& x, const Operation& op) {
  T& destination = register_of<T>(x.state, 0);
  const T result = kCompute(destination, static_cast<T>(op.immediate), &x.state.eflags);
  if constexpr (kKeep) destination = result;
  return kNoFault;
}

template <typename T, Binary<T> kCompute, bool kKeep>
Handler by_form(Form form) {
  switch (form) {
    case Form::RmReg:
      return alu_rm_reg<T, kCompute, kKeep>;
    case Form::RegRm:
      return alu_reg_rm<T, kCompute, kKeep>;
    case Form::AccumulatorImmediate:
      return alu_accumulator_immediate<T, kCompute, kKeep>;
    case Form::RmImmediate:
      return alu_rm_immediate<T, kCompute, kKeep>;
  }
  return nullptr;
}

// number: bits 3-5 of the opcode or ModRM.reg of group 1 (SDM 2D table A-6).
template <typename T>
Handler alu(unsigned number, Form form) {
  namespace host = host_operation;
  switch (number) {
    case 0:
      return by_form<T, host::add<T>, true>(form);
    case 1:
      return by_form<T, host::bit_or<T>, true>(form);
    case 2:
      return by_form<T, host::adc<T>, true>(form);
    case 3:
      return by_form<T, host::sbb<T>, true>(form);
    case 4:
      return by_form<T, host::bit_and<T>, true>(form);
    case 5:
      return by_form<T, host::sub<T>, true>(form);
    case 6:
      return by_form<T, host::bit_xor<T>, true>(form);
    default:
      return by_form<T, host::sub<T>, false>(form);
  }
}

Handler alu_of_size(unsigned number, Form form, bool is_byte, unsigned operand_bytes) {
  if (is_byte) return alu<uint8_t>(number, form);
  return operand_bytes == 2 ? alu<uint16_t>(number, form) : alu<uint32_t>(number, form);
}

template <typename T>
Handler test_of(Form form) {
  return by_form<T, host_operation::bit_and<T>, false>(form);
}
Handler test_of_size(Form form, bool is_byte, unsigned operand_bytes) {
  if (is_byte) return test_of<uint8_t>(form);
  return operand_bytes == 2 ? test_of<uint16_t>(form) : test_of<uint32_t>(form);
}

template <typename T>
MaybeFault increment(Execution& x, const Operation& op) {
  return update_rm<T>(x, op, host_operation::inc<T>);
}
template <typename T>
MaybeFault decrement(Execution& x, const Operation& op) {
  return update_rm<T>(x, op, host_operation::dec<T>);
}
template <typename T>
MaybeFault negate(Execution& x, const Operation& op) {
  return update_rm<T>(x, op, host_operation::neg<T>);
}
template <typename T>
MaybeFault complement(Execution& x, const Operation& op) {
  return update_rm<T>(x, op, [](T value, uint32_t*) { return static_cast<T>(~value); });
}

template <typename T>
MaybeFault exchange_add(Execution& x, const Operation& op) {
  T& source = register_of<T>(x.state, op.reg);
  const T addend = source;
  T old = 0;
  RETURN_IF_FAULT(update_rm<T>(x, op, [addend, &old](T value, uint32_t* eflags) {
    old = value;
    return host_operation::add<T>(value, addend, eflags);
  }));
  // XADD r, r with both the same leaves the sum: the register destination is written last.
  if (op.is_memory || op.rm != op.reg) source = old;
  return kNoFault;
}

template <typename T>
MaybeFault compare_exchange(Execution& x, const Operation& op) {
  const T replacement = register_of<T>(x.state, op.reg);
  T& accumulator = register_of<T>(x.state, 0);
  const T expected = accumulator;
  T old = 0;
  // The destination is written in both cases, with its old value when the comparison fails.
  RETURN_IF_FAULT(update_rm<T>(x, op, [&](T value, uint32_t* eflags) {
    old = value;
    (void)host_operation::sub<T>(expected, value, eflags);
    return value == expected ? replacement : value;
  }));
  if (old != expected) accumulator = old;
  return kNoFault;
}

MaybeFault compare_exchange_8_bytes(Execution& x, const Operation& op) {
  GuestVirtual linear;
  uint64_t value;
  RETURN_IF_FAULT(
      load_for_update<uint64_t>(x, op.segment, effective_address(x.state, op), &linear, &value));
  GuestState& state = x.state;
  const uint64_t expected = (uint64_t{state.reg(Gpr::Edx)} << 32) | state.reg(Gpr::Eax);
  const uint64_t replacement = (uint64_t{state.reg(Gpr::Ecx)} << 32) | state.reg(Gpr::Ebx);
  const bool equal = value == expected;
  RETURN_IF_FAULT(
      x.memory.write_value<uint64_t>(linear, x.privilege(), equal ? replacement : value));
  if (equal) {
    state.eflags |= kFlagZf;
  } else {
    state.eflags &= ~kFlagZf;
    state.reg(Gpr::Eax) = static_cast<uint32_t>(value);
    state.reg(Gpr::Edx) = static_cast<uint32_t>(value >> 32);
  }
  return kNoFault;
}

#define RINGSHIFT_SIZED(handler) \
  by_size(is_byte, e.operand_bytes, handler<uint8_t>, handler<uint16_t>, handler<uint32_t>)

Handler select_group(const Encoding& e, bool is_byte) {
  switch (e.opcode) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
      return alu_of_size(e.reg, Form::RmImmediate, is_byte, e.operand_bytes);
    case 0xf6:
    case 0xf7:
      if (e.reg <= 1) return test_of_size(Form::RmImmediate, is_byte, e.operand_bytes);
      if (e.reg == 2) return RINGSHIFT_SIZED(complement);
      return e.reg == 3 ? RINGSHIFT_SIZED(negate) : nullptr;
    case 0xfe:
    case 0xff:
      if (e.reg == 0) return RINGSHIFT_SIZED(increment);
      return e.reg == 1 ? RINGSHIFT_SIZED(decrement) : nullptr;
    default:
      return nullptr;
  }
}

Handler select_one_byte(const Encoding& e) {
  const uint8_t opcode = e.opcode;
  bool is_byte = (opcode & 1U) == 0;
  if (opcode < 0x40) {
    if ((opcode & 7U) > 5) return nullptr;
    constexpr Form kForms[] = {Form::RmReg, Form::RegRm, Form::AccumulatorImmediate};
    return alu_of_size(opcode >> 3, kForms[(opcode & 7U) >> 1], is_byte, e.operand_bytes);
  }
  if (opcode < 0x50) {
    is_byte = false;
    return opcode < 0x48 ? RINGSHIFT_SIZED(increment) : RINGSHIFT_SIZED(decrement);
  }
  switch (opcode) {
    case 0x84:
    case 0x85:
      return test_of_size(Form::RmReg, is_byte, e.operand_bytes);
    case 0xa8:
    case 0xa9:
      return test_of_size(Form::AccumulatorImmediate, is_byte, e.operand_bytes);
    default:
      return select_group(e, is_byte);
  }
}

}  // namespace

Handler select_arithmetic(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_DEFAULT) return select_one_byte(e);
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  const bool is_byte = (e.opcode & 1U) == 0;
  switch (e.opcode) {
    case 0xb0:
    case 0xb1:
      return RINGSHIFT_SIZED(compare_exchange);
    case 0xc0:
    case 0xc1:
      return RINGSHIFT_SIZED(exchange_add);
    case 0xc7:
      return e.reg == 1 && e.mod != 3 ? compare_exchange_8_bytes : nullptr;
    default:
      return nullptr;
  }
}

#undef RINGSHIFT_SIZED

}  // namespace ringshift::interp

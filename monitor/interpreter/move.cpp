// Interpreter: MOV (not of system registers), MOVZX, MOVSX, MOVNTI, LEA, XCHG, XLAT, CMOVcc, SETcc,
// BSWAP, LAHF, SAHF, the flag instructions without privilege, NOP and hints. See SDM 2A/2B, one
// page each.
#include <array>
#include <type_traits>
#include <utility>

#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
MaybeFault move_rm_reg(Execution& x, const Operation& op) {
  return store_rm<T>(x, op, register_of<T>(x.state, op.reg));
}
template <typename T>
MaybeFault move_reg_rm(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(load_rm<T>(x, op, &value));
  register_of<T>(x.state, op.reg) = value;
  return kNoFault;
}
template <typename T>
MaybeFault move_rm_immediate(Execution& x, const Operation& op) {
  return store_rm<T>(x, op, static_cast<T>(op.immediate));
}
template <typename T>
MaybeFault move_reg_immediate(Execution& x, const Operation& op) {
  register_of<T>(x.state, op.rm) = static_cast<T>(op.immediate);
  return kNoFault;
}
template <typename T>
MaybeFault move_accumulator_offset(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(load<T>(x, op.segment, op.displacement, &value));
  register_of<T>(x.state, 0) = value;
  return kNoFault;
}
template <typename T>
MaybeFault move_offset_accumulator(Execution& x, const Operation& op) {
  return store<T>(x, op.segment, op.displacement, register_of<T>(x.state, 0));
}

template <typename To, typename From>
MaybeFault move_extended(Execution& x, const Operation& op) {
  std::make_unsigned_t<From> value;
  RETURN_IF_FAULT(load_rm<std::make_unsigned_t<From>>(x, op, &value));
  register_of<To>(x.state, op.reg) = static_cast<To>(static_cast<From>(value));
  return kNoFault;
}

template <typename T>
MaybeFault load_address(Execution& x, const Operation& op) {
  register_of<T>(x.state, op.reg) = static_cast<T>(effective_address(x.state, op));
  return kNoFault;
}

template <typename T>
MaybeFault exchange(Execution& x, const Operation& op) {
  T& source = register_of<T>(x.state, op.reg);
  const T replacement = source;
  T old = 0;
  RETURN_IF_FAULT(update_rm<T>(x, op, [replacement, &old](T value, uint32_t*) {
    old = value;
    return replacement;
  }));
  source = old;
  return kNoFault;
}

template <typename T>
MaybeFault exchange_accumulator(Execution& x, const Operation& op) {
  std::swap(register_of<T>(x.state, 0), register_of<T>(x.state, op.rm));
  return kNoFault;
}

MaybeFault xlat(Execution& x, const Operation& op) {
  const uint32_t offset =
      (x.state.reg(Gpr::Ebx) + register_of<uint8_t>(x.state, 0)) & address_mask(op);
  uint8_t value;
  RETURN_IF_FAULT(load<uint8_t>(x, op.segment, offset, &value));
  register_of<uint8_t>(x.state, 0) = value;
  return kNoFault;
}

// The source is read, and may fault, whether or not the condition holds (SDM 2A CMOVcc).
template <typename T>
MaybeFault conditional_move(Execution& x, const Operation& op) {
  T value;
  RETURN_IF_FAULT(load_rm<T>(x, op, &value));
  if (condition_holds(op.opcode & 0xfU, x.state.eflags)) {
    register_of<T>(x.state, op.reg) = value;
  }
  return kNoFault;
}

MaybeFault set_on_condition(Execution& x, const Operation& op) {
  return store_rm<uint8_t>(x, op, condition_holds(op.opcode & 0xfU, x.state.eflags) ? 1 : 0);
}

MaybeFault byte_swap(Execution& x, const Operation& op) {
  uint32_t& value = x.state.gpr[op.rm];
  value = __builtin_bswap32(value);
  return kNoFault;
}
// Undefined by the manual; every processor since the i486 clears the low half.
MaybeFault byte_swap_16(Execution& x, const Operation& op) {
  x.state.gpr[op.rm] &= 0xffff0000U;
  return kNoFault;
}

MaybeFault lahf(Execution& x, const Operation&) {
  register_of<uint8_t>(x.state, 4) = static_cast<uint8_t>((x.state.eflags & 0xd5U) | 2U);
  return kNoFault;
}
MaybeFault sahf(Execution& x, const Operation&) {
  x.state.eflags = (x.state.eflags & ~0xd5U) | (register_of<uint8_t>(x.state, 4) & 0xd5U);
  return kNoFault;
}

MaybeFault clear_carry(Execution& x, const Operation&) {
  x.state.eflags &= ~kFlagCf;
  return kNoFault;
}
MaybeFault set_carry(Execution& x, const Operation&) {
  x.state.eflags |= kFlagCf;
  return kNoFault;
}
MaybeFault complement_carry(Execution& x, const Operation&) {
  x.state.eflags ^= kFlagCf;
  return kNoFault;
}
MaybeFault clear_direction(Execution& x, const Operation&) {
  x.state.eflags &= ~kFlagDf;
  return kNoFault;
}
MaybeFault set_direction(Execution& x, const Operation&) {
  x.state.eflags |= kFlagDf;
  return kNoFault;
}

MaybeFault no_operation(Execution&, const Operation&) { return kNoFault; }

#define RINGSHIFT_SIZED(handler)                                                      \
  by_size((e.opcode & 1U) == 0, e.operand_bytes, handler<uint8_t>, handler<uint16_t>, \
          handler<uint32_t>)
#define RINGSHIFT_WORD_OR_DWORD(handler) \
  by_size(e.operand_bytes, handler<uint16_t>, handler<uint32_t>)

Handler select_one_byte(const Encoding& e) {
  switch (e.opcode) {
    case 0x86:
    case 0x87:
      return RINGSHIFT_SIZED(exchange);
    case 0x88:
    case 0x89:
      return RINGSHIFT_SIZED(move_rm_reg);
    case 0x8a:
    case 0x8b:
      return RINGSHIFT_SIZED(move_reg_rm);
    case 0x8d:
      return e.mod == 3 ? nullptr : RINGSHIFT_WORD_OR_DWORD(load_address);
    case 0x90:
      return no_operation;  // F3 90 is PAUSE: the same to the guest
    case 0x91:
    case 0x92:
    case 0x93:
    case 0x94:
    case 0x95:
    case 0x96:
    case 0x97:
      return RINGSHIFT_WORD_OR_DWORD(exchange_accumulator);
    case 0x9e:
      return sahf;
    case 0x9f:
      return lahf;
    case 0xa0:
    case 0xa1:
      return RINGSHIFT_SIZED(move_accumulator_offset);
    case 0xa2:
    case 0xa3:
      return RINGSHIFT_SIZED(move_offset_accumulator);
    case 0xb0:
    case 0xb1:
    case 0xb2:
    case 0xb3:
    case 0xb4:
    case 0xb5:
    case 0xb6:
    case 0xb7:
      return move_reg_immediate<uint8_t>;
    case 0xb8:
    case 0xb9:
    case 0xba:
    case 0xbb:
    case 0xbc:
    case 0xbd:
    case 0xbe:
    case 0xbf:
      return RINGSHIFT_WORD_OR_DWORD(move_reg_immediate);
    case 0xc6:
    case 0xc7:
      return e.reg == 0 ? RINGSHIFT_SIZED(move_rm_immediate) : nullptr;
    case 0xd7:
      return xlat;
    case 0xf5:
      return complement_carry;
    case 0xf8:
      return clear_carry;
    case 0xf9:
      return set_carry;
    case 0xfc:
      return clear_direction;
    case 0xfd:
      return set_direction;
    default:
      return nullptr;
  }
}

// 0F AE with a register: the fences. Their memory forms belong to the FPU family, but for CLFLUSH,
// which checks its byte as a load would (SDM 2A CLFLUSH).
MaybeFault flush_line(Execution& x, const Operation& op) {
  uint8_t ignored;
  return load<uint8_t>(x, op.segment, effective_address(x.state, op), &ignored);
}

Handler select_fence(const Encoding& e) {
  if (e.has_66 || e.repeat != Repeat::None) return nullptr;
  if (e.mod == 3) {
    if (e.reg == 7) return no_operation;
    return e.model.sse42 && (e.reg == 5 || e.reg == 6) ? no_operation : nullptr;
  }
  return e.reg == 7 && e.model.sse42 ? flush_line : nullptr;
}

Handler select_two_byte(const Encoding& e) {
  if ((e.opcode & 0xf0U) == 0x40) return RINGSHIFT_WORD_OR_DWORD(conditional_move);
  if ((e.opcode & 0xf0U) == 0x90) return set_on_condition;
  if ((e.opcode & 0xf8U) == 0xc8) return e.operand_bytes == 2 ? byte_swap_16 : byte_swap;
  switch (e.opcode) {
    case 0x0d:
      return no_operation;  // PREFETCHW and its neighbours
    case 0x18:
    case 0x19:
    case 0x1a:
    case 0x1b:
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x1f:
      return no_operation;
    case 0xae:
      return select_fence(e);
    case 0xb6:
      return by_size(e.operand_bytes, move_extended<uint16_t, uint8_t>,
                     move_extended<uint32_t, uint8_t>);
    case 0xb7:
      return by_size(e.operand_bytes, move_extended<uint16_t, uint16_t>,
                     move_extended<uint32_t, uint16_t>);
    case 0xbe:
      return by_size(e.operand_bytes, move_extended<uint16_t, int8_t>,
                     move_extended<uint32_t, int8_t>);
    case 0xbf:
      return by_size(e.operand_bytes, move_extended<uint16_t, int16_t>,
                     move_extended<uint32_t, int16_t>);
    case 0xc3:
      return e.model.sse42 && e.mod != 3 && !e.has_66 && e.repeat == Repeat::None
                 ? move_rm_reg<uint32_t>
                 : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

Handler select_move(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_DEFAULT) return select_one_byte(e);
  return e.map == ZYDIS_OPCODE_MAP_0F ? select_two_byte(e) : nullptr;
}

#undef RINGSHIFT_SIZED
#undef RINGSHIFT_WORD_OR_DWORD

}  // namespace ringshift::interp

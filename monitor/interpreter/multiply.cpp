// Interpreter: MUL IMUL DIV IDIV, sign conversions (CBW CWDE CWD CDQ) and the decimal adjustments.
// See SDM 2A/2B, one page each.
#include <limits>
#include <type_traits>

#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
uint32_t low_half(const GuestState& state) {
  return sizeof(T) == 4 ? state.reg(Gpr::Eax) : state.reg(Gpr::Eax) & 0xffffU;
}

// Stores AX (bytes), DX:AX or EDX:EAX.
template <typename T>
void set_wide(GuestState& state, uint32_t low, uint32_t high) {
  if constexpr (sizeof(T) == 1) {
    register_of<uint16_t>(state, 0) = static_cast<uint16_t>(low);
  } else {
    register_of<T>(state, 0) = static_cast<T>(low);
    register_of<T>(state, 2) = static_cast<T>(high);
  }
}

template <typename T, bool kSigned>
MaybeFault multiply(Execution& x, const Operation& op) {
  T operand;
  RETURN_IF_FAULT(load_rm<T>(x, op, &operand));
  uint32_t low = low_half<T>(x.state);
  uint32_t high = x.state.reg(Gpr::Edx);
  if constexpr (kSigned) {
    host_operation::imul<T>(&low, &high, operand, &x.state.eflags);
  } else {
    host_operation::mul<T>(&low, &high, operand, &x.state.eflags);
  }
  set_wide<T>(x.state, low, high);
  return kNoFault;
}

template <typename T>
uint64_t dividend_of(const GuestState& state) {
  if constexpr (sizeof(T) == 1) return state.reg(Gpr::Eax) & 0xffffU;
  const uint64_t high = sizeof(T) == 2 ? state.reg(Gpr::Edx) & 0xffffU : state.reg(Gpr::Edx);
  return (high << bits_of<T>()) | low_half<T>(state);
}

template <typename T>
bool unsigned_quotient_fits(uint64_t dividend, T divisor) {
  return divisor != 0 && dividend / divisor <= std::numeric_limits<T>::max();
}

template <typename T>
bool signed_quotient_fits(uint64_t dividend, T divisor) {
  using Signed = std::make_signed_t<T>;
  if (divisor == 0) return false;
  const unsigned unused = 64U - 2U * bits_of<T>();
  const int64_t numerator = static_cast<int64_t>(dividend << unused) >> unused;
  const auto denominator = static_cast<Signed>(divisor);
  if (numerator == std::numeric_limits<int64_t>::min()) return false;
  const int64_t quotient = numerator / denominator;
  return quotient >= std::numeric_limits<Signed>::min() &&
         quotient <= std::numeric_limits<Signed>::max();
}

template <typename T, bool kSigned>
MaybeFault divide(Execution& x, const Operation& op) {
  T divisor;
  RETURN_IF_FAULT(load_rm<T>(x, op, &divisor));
  const uint64_t dividend = dividend_of<T>(x.state);
  uint32_t low = low_half<T>(x.state);
  uint32_t high = x.state.reg(Gpr::Edx);
  if constexpr (kSigned) {
    if (!signed_quotient_fits<T>(dividend, divisor)) return GuestFault::simple(Vector::DivideError);
    host_operation::idiv<T>(&low, &high, divisor, &x.state.eflags);
  } else {
    if (!unsigned_quotient_fits<T>(dividend, divisor)) {
      return GuestFault::simple(Vector::DivideError);
    }
    host_operation::div<T>(&low, &high, divisor, &x.state.eflags);
  }
  set_wide<T>(x.state, low, high);
  return kNoFault;
}

template <typename T>
MaybeFault multiply_reg_rm(Execution& x, const Operation& op) {
  T source;
  RETURN_IF_FAULT(load_rm<T>(x, op, &source));
  T& destination = register_of<T>(x.state, op.reg);
  destination = host_operation::imul2<T>(destination, source, &x.state.eflags);
  return kNoFault;
}

template <typename T>
MaybeFault multiply_rm_immediate(Execution& x, const Operation& op) {
  T source;
  RETURN_IF_FAULT(load_rm<T>(x, op, &source));
  register_of<T>(x.state, op.reg) =
      host_operation::imul2<T>(source, static_cast<T>(op.immediate), &x.state.eflags);
  return kNoFault;
}

MaybeFault cbw(Execution& x, const Operation&) {
  register_of<uint16_t>(x.state, 0) =
      static_cast<uint16_t>(static_cast<int8_t>(register_of<uint8_t>(x.state, 0)));
  return kNoFault;
}
MaybeFault cwde(Execution& x, const Operation&) {
  x.state.reg(Gpr::Eax) =
      static_cast<uint32_t>(static_cast<int16_t>(register_of<uint16_t>(x.state, 0)));
  return kNoFault;
}
MaybeFault cwd(Execution& x, const Operation&) {
  register_of<uint16_t>(x.state, 2) = (x.state.reg(Gpr::Eax) & 0x8000U) != 0 ? 0xffff : 0;
  return kNoFault;
}
MaybeFault cdq(Execution& x, const Operation&) {
  x.state.reg(Gpr::Edx) = (x.state.reg(Gpr::Eax) & 0x80000000U) != 0 ? 0xffffffffU : 0;
  return kNoFault;
}

// SF, ZF and PF of a byte, as every decimal adjustment sets them; CF and AF given, OF cleared.
void set_decimal_flags(GuestState& state, uint8_t result, bool carry, bool adjust) {
  uint32_t eflags = state.eflags & ~kFlagsArithmetic;
  (void)host_operation::bit_and<uint8_t>(result, result, &eflags);
  eflags &= ~(kFlagCf | kFlagAf | kFlagOf);
  if (carry) eflags |= kFlagCf;
  if (adjust) eflags |= kFlagAf;
  state.eflags = eflags;
}

template <bool kSubtract>
MaybeFault ascii_adjust(Execution& x, const Operation&) {
  uint16_t& ax = register_of<uint16_t>(x.state, 0);
  const bool adjust = (ax & 0x0fU) > 9 || (x.state.eflags & kFlagAf) != 0;
  if (adjust) ax = static_cast<uint16_t>(kSubtract ? ax - 0x106 : ax + 0x106);
  ax &= 0xff0fU;
  set_decimal_flags(x.state, static_cast<uint8_t>(ax), adjust, adjust);
  return kNoFault;
}

template <bool kSubtract>
MaybeFault decimal_adjust(Execution& x, const Operation&) {
  uint8_t& al = register_of<uint8_t>(x.state, 0);
  const uint8_t old_al = al;
  const bool old_carry = (x.state.eflags & kFlagCf) != 0;
  bool carry = false;
  const bool adjust = (al & 0x0fU) > 9 || (x.state.eflags & kFlagAf) != 0;
  if (adjust) {
    carry = old_carry || (kSubtract ? old_al < 6 : old_al > 0xff - 6);
    al = static_cast<uint8_t>(kSubtract ? al - 6 : al + 6);
  }
  if (old_al > 0x99 || old_carry) {
    al = static_cast<uint8_t>(kSubtract ? al - 0x60 : al + 0x60);
    carry = true;
  } else if (!kSubtract) {
    carry = false;
  }
  set_decimal_flags(x.state, al, carry, adjust);
  return kNoFault;
}

MaybeFault aam(Execution& x, const Operation& op) {
  const auto radix = static_cast<uint8_t>(op.immediate);
  if (radix == 0) return GuestFault::simple(Vector::DivideError);
  const uint8_t al = register_of<uint8_t>(x.state, 0);
  register_of<uint8_t>(x.state, 4) = static_cast<uint8_t>(al / radix);
  register_of<uint8_t>(x.state, 0) = static_cast<uint8_t>(al % radix);
  set_decimal_flags(x.state, register_of<uint8_t>(x.state, 0), false, false);
  return kNoFault;
}

MaybeFault aad(Execution& x, const Operation& op) {
  const auto al = static_cast<uint8_t>(register_of<uint8_t>(x.state, 0) +
                                       register_of<uint8_t>(x.state, 4) * op.immediate);
  register_of<uint16_t>(x.state, 0) = al;
  set_decimal_flags(x.state, al, false, false);
  return kNoFault;
}

// SALC: AL = CF ? FF : 0. Undocumented until late, present since the 8086 (SDM 2 lists it nowhere).
MaybeFault salc(Execution& x, const Operation&) {
  register_of<uint8_t>(x.state, 0) = (x.state.eflags & kFlagCf) != 0 ? 0xff : 0;
  return kNoFault;
}

}  // namespace

Handler select_multiply(const Encoding& e) {
  const unsigned size = e.operand_bytes;
  if (e.map == ZYDIS_OPCODE_MAP_0F) {
    return e.opcode == 0xaf ? by_size(size, multiply_reg_rm<uint16_t>, multiply_reg_rm<uint32_t>)
                            : nullptr;
  }
  if (e.map != ZYDIS_OPCODE_MAP_DEFAULT) return nullptr;
  const bool is_byte = (e.opcode & 1U) == 0;
  switch (e.opcode) {
    case 0x69:
    case 0x6b:
      return by_size(size, multiply_rm_immediate<uint16_t>, multiply_rm_immediate<uint32_t>);
    case 0x98:
      return by_size(size, cbw, cwde);
    case 0x99:
      return by_size(size, cwd, cdq);
    case 0xf6:
    case 0xf7:
      break;
    default:
      return nullptr;
  }
  switch (e.reg) {
    case 4:
      return by_size(is_byte, size, multiply<uint8_t, false>, multiply<uint16_t, false>,
                     multiply<uint32_t, false>);
    case 5:
      return by_size(is_byte, size, multiply<uint8_t, true>, multiply<uint16_t, true>,
                     multiply<uint32_t, true>);
    case 6:
      return by_size(is_byte, size, divide<uint8_t, false>, divide<uint16_t, false>,
                     divide<uint32_t, false>);
    case 7:
      return by_size(is_byte, size, divide<uint8_t, true>, divide<uint16_t, true>,
                     divide<uint32_t, true>);
    default:
      return nullptr;
  }
}

Handler select_decimal(const Encoding& e) {
  if (e.map != ZYDIS_OPCODE_MAP_DEFAULT) return nullptr;
  switch (e.opcode) {
    case 0x27:
      return decimal_adjust<false>;
    case 0x2f:
      return decimal_adjust<true>;
    case 0x37:
      return ascii_adjust<false>;
    case 0x3f:
      return ascii_adjust<true>;
    case 0xd4:
      return aam;
    case 0xd5:
      return aad;
    case 0xd6:
      return salc;
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp

// Interpreter: BT BTS BTR BTC, BSF, BSR, POPCNT, CRC32, BMI1.
// See SDM 2A/2B, one page each.
#include <type_traits>

#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
using Binary = T (*)(T, T, uint32_t*);

// The unit of r/m that holds bit `index`: with a register index a memory operand is a bit string
// that reaches 2 GiB either way (SDM 2A BT).
template <typename T>
uint32_t bit_string_address(const Execution& x, const Operation& op, T index) {
  const auto offset = static_cast<int32_t>(static_cast<std::make_signed_t<T>>(index));
  constexpr int kShift = sizeof(T) == 2 ? 4 : 5;
  const auto displacement = static_cast<uint32_t>(offset >> kShift) * uint32_t{sizeof(T)};
  return (effective_address(x.state, op) + displacement) & address_mask(op);
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault bit_in_memory(Execution& x, const Operation& op, uint32_t address, T index) {
  uint32_t eflags = x.state.eflags;
  T value;
  if constexpr (!kKeep) {
    RETURN_IF_FAULT(load<T>(x, op.segment, address, &value));
    (void)kCompute(value, index, &eflags);
  } else {
    GuestVirtual linear;
    RETURN_IF_FAULT(load_for_update<T>(x, op.segment, address, &linear, &value));
    value = kCompute(value, index, &eflags);
    RETURN_IF_FAULT(x.memory.write_value<T>(linear, x.privilege(), value));
  }
  x.state.eflags = eflags;
  return kNoFault;
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault bit_rm_reg(Execution& x, const Operation& op) {
  const T index = register_of<T>(x.state, op.reg);
  if (op.is_memory) {
    return bit_in_memory<T, kCompute, kKeep>(x, op, bit_string_address<T>(x, op, index), index);
  }
  T& destination = register_of<T>(x.state, op.rm);
  const T result = kCompute(destination, index, &x.state.eflags);
  if constexpr (kKeep) destination = result;
  return kNoFault;
}

template <typename T, Binary<T> kCompute, bool kKeep>
MaybeFault bit_rm_immediate(Execution& x, const Operation& op) {
  const auto index = static_cast<T>(op.immediate & 0xffU);
  if (op.is_memory) {
    return bit_in_memory<T, kCompute, kKeep>(x, op, effective_address(x.state, op), index);
  }
  T& destination = register_of<T>(x.state, op.rm);
  const T result = kCompute(destination, index, &x.state.eflags);
  if constexpr (kKeep) destination = result;
  return kNoFault;
}

// BSF and BSR leave the destination alone when the source is zero, as all silicon does.
template <typename T, Binary<T> kCompute>
MaybeFault scan(Execution& x, const Operation& op) {
  T source;
  RETURN_IF_FAULT(load_rm<T>(x, op, &source));
  T& destination = register_of<T>(x.state, op.reg);
  destination = kCompute(destination, source, &x.state.eflags);
  return kNoFault;
}

template <typename T>
MaybeFault checksum(Execution& x, const Operation& op) {
  T source;
  RETURN_IF_FAULT(load_rm<T>(x, op, &source));
  uint32_t& accumulator = x.state.gpr[op.reg];
  accumulator = host_operation::crc32<T>(accumulator, source);
  return kNoFault;
}

// VEX encodings do not exist in real and V86 mode (SDM 2A 2.3.2). BMI1 needs no XSAVE state.
enum class Bmi1Result : uint8_t { InReg, InVvvv };
using Bmi1Compute = uint32_t (*)(uint32_t, uint32_t, uint32_t*);
template <Bmi1Compute kCompute, Bmi1Result kResult>
MaybeFault bmi1(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  uint32_t source;
  RETURN_IF_FAULT(load_rm<uint32_t>(x, op, &source));
  const uint32_t result = kCompute(source, x.state.gpr[op.vvvv], &x.state.eflags);
  x.state.gpr[kResult == Bmi1Result::InReg ? op.reg : op.vvvv] = result;
  return kNoFault;
}

template <typename T>
Handler bit_handler(unsigned number, bool immediate) {
  namespace host = host_operation;
  switch (number) {
    case 0:
      return immediate ? bit_rm_immediate<T, host::bt<T>, false>
                       : bit_rm_reg<T, host::bt<T>, false>;
    case 1:
      return immediate ? bit_rm_immediate<T, host::bts<T>, true>
                       : bit_rm_reg<T, host::bts<T>, true>;
    case 2:
      return immediate ? bit_rm_immediate<T, host::btr<T>, true>
                       : bit_rm_reg<T, host::btr<T>, true>;
    default:
      return immediate ? bit_rm_immediate<T, host::btc<T>, true>
                       : bit_rm_reg<T, host::btc<T>, true>;
  }
}
Handler bit_of_size(const Encoding& e, unsigned number, bool immediate) {
  return e.operand_bytes == 2 ? bit_handler<uint16_t>(number, immediate)
                              : bit_handler<uint32_t>(number, immediate);
}

Handler select_checksum(const Encoding& e) {
  if (!e.model.sse42 || e.repeat != Repeat::WhileNotEqual) return nullptr;
  if (e.opcode == 0xf0) return checksum<uint8_t>;
  if (e.opcode != 0xf1) return nullptr;
  return by_size(e.operand_bytes, checksum<uint16_t>, checksum<uint32_t>);
}

}  // namespace

Handler select_bits(const Encoding& e) {
  namespace host = host_operation;
  if (e.map == ZYDIS_OPCODE_MAP_0F38) return select_checksum(e);
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  switch (e.opcode) {
    case 0xa3:
      return bit_of_size(e, 0, false);
    case 0xab:
      return bit_of_size(e, 1, false);
    case 0xb3:
      return bit_of_size(e, 2, false);
    case 0xbb:
      return bit_of_size(e, 3, false);
    case 0xba:
      return e.reg >= 4 ? bit_of_size(e, e.reg - 4U, true) : nullptr;
    case 0xbc:
      if (e.model.bmi1 && e.repeat == Repeat::WhileEqual) {
        return by_size(e.operand_bytes, scan<uint16_t, host::tzcnt<uint16_t>>,
                       scan<uint32_t, host::tzcnt<uint32_t>>);
      }
      return by_size(e.operand_bytes, scan<uint16_t, host::bsf<uint16_t>>,
                     scan<uint32_t, host::bsf<uint32_t>>);
    case 0xbd:
      return by_size(e.operand_bytes, scan<uint16_t, host::bsr<uint16_t>>,
                     scan<uint32_t, host::bsr<uint32_t>>);
    case 0xb8:
      if (!e.model.sse42 || e.repeat != Repeat::WhileEqual) return nullptr;
      return by_size(e.operand_bytes, scan<uint16_t, host::popcnt<uint16_t>>,
                     scan<uint32_t, host::popcnt<uint32_t>>);
    default:
      return nullptr;
  }
}

Handler select_bmi1(const Encoding& e) {
  namespace host = host_operation;
  if (!e.model.bmi1) return nullptr;
  switch (e.instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_ANDN:
      return bmi1<host::andn, Bmi1Result::InReg>;
    case ZYDIS_MNEMONIC_BEXTR:
      return bmi1<host::bextr, Bmi1Result::InReg>;
    case ZYDIS_MNEMONIC_BLSI:
      return bmi1<host::blsi, Bmi1Result::InVvvv>;
    case ZYDIS_MNEMONIC_BLSMSK:
      return bmi1<host::blsmsk, Bmi1Result::InVvvv>;
    case ZYDIS_MNEMONIC_BLSR:
      return bmi1<host::blsr, Bmi1Result::InVvvv>;
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp

// Interpreter: ROL ROR RCL RCR SHL SHR SAR, SHLD, SHRD.
// See SDM 2B RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD.
#include "monitor/interpreter/flags.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

template <typename T>
using Shift = T (*)(T, uint8_t, uint32_t*);
template <typename T>
using DoubleShift = T (*)(T, T, uint8_t, uint32_t*);

enum class Count : uint8_t { One, Immediate, Cl };

template <Count kCount>
uint8_t count_of(const Execution& x, const Operation& op) {
  if constexpr (kCount == Count::One) return 1;
  if constexpr (kCount == Count::Immediate) return static_cast<uint8_t>(op.immediate);
  return static_cast<uint8_t>(x.state.reg(Gpr::Ecx));
}

template <typename T, Shift<T> kCompute, Count kCount>
MaybeFault shift_rm(Execution& x, const Operation& op) {
  const uint8_t count = count_of<kCount>(x, op);
  return update_rm<T>(
      x, op, [count](T value, uint32_t* eflags) { return kCompute(value, count, eflags); });
}

template <typename T, DoubleShift<T> kCompute, Count kCount>
MaybeFault double_shift_rm(Execution& x, const Operation& op) {
  const uint8_t count = count_of<kCount>(x, op);
  const T filler = register_of<T>(x.state, op.reg);
  return update_rm<T>(x, op, [count, filler](T value, uint32_t* eflags) {
    return kCompute(value, filler, count, eflags);
  });
}

// ModRM.reg of group 2; /6 is an alias of /4 on every processor.
template <typename T, Count kCount>
Handler shift_by_number(unsigned number) {
  namespace host = host_operation;
  switch (number) {
    case 0:
      return shift_rm<T, host::rol<T>, kCount>;
    case 1:
      return shift_rm<T, host::ror<T>, kCount>;
    case 2:
      return shift_rm<T, host::rcl<T>, kCount>;
    case 3:
      return shift_rm<T, host::rcr<T>, kCount>;
    case 5:
      return shift_rm<T, host::shr<T>, kCount>;
    case 7:
      return shift_rm<T, host::sar<T>, kCount>;
    default:
      return shift_rm<T, host::shl<T>, kCount>;
  }
}

template <Count kCount>
Handler shift_of_size(const Encoding& e) {
  if ((e.opcode & 1U) == 0) return shift_by_number<uint8_t, kCount>(e.reg);
  return e.operand_bytes == 2 ? shift_by_number<uint16_t, kCount>(e.reg)
                              : shift_by_number<uint32_t, kCount>(e.reg);
}

template <Count kCount>
Handler double_shift_of_size(const Encoding& e, bool left) {
  namespace host = host_operation;
  if (left) {
    return by_size(e.operand_bytes, double_shift_rm<uint16_t, host::shld<uint16_t>, kCount>,
                   double_shift_rm<uint32_t, host::shld<uint32_t>, kCount>);
  }
  return by_size(e.operand_bytes, double_shift_rm<uint16_t, host::shrd<uint16_t>, kCount>,
                 double_shift_rm<uint32_t, host::shrd<uint32_t>, kCount>);
}

}  // namespace

Handler select_shift(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_DEFAULT) {
    switch (e.opcode) {
      case 0xc0:
      case 0xc1:
        return shift_of_size<Count::Immediate>(e);
      case 0xd0:
      case 0xd1:
        return shift_of_size<Count::One>(e);
      case 0xd2:
      case 0xd3:
        return shift_of_size<Count::Cl>(e);
      default:
        return nullptr;
    }
  }
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  switch (e.opcode) {
    case 0xa4:
      return double_shift_of_size<Count::Immediate>(e, true);
    case 0xa5:
      return double_shift_of_size<Count::Cl>(e, true);
    case 0xac:
      return double_shift_of_size<Count::Immediate>(e, false);
    case 0xad:
      return double_shift_of_size<Count::Cl>(e, false);
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp

#include "translator/fpu_precision.h"

#include <array>
#include <cfenv>
#include <cmath>
#include <cstring>

namespace ringshift {
namespace {

constexpr size_t kMxcsr = 24, kXmm = 160;
constexpr uint32_t kDenormalsAreZeros = 1U << 6;
constexpr int kFloatBits = 24, kDoubleBits = 53;

enum class Operation : uint8_t { None, Add, Subtract, Multiply, Divide, Convert };
enum class Shape : uint8_t { Scalar, Packed, Alternating, Horizontal };

struct Computation {
  Operation operation = Operation::None;
  bool is_double = false;  // the format of the operands
  Shape shape = Shape::Packed;
};

Computation computation_of(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_ADDSS:
      return {Operation::Add, false, Shape::Scalar};
    case ZYDIS_MNEMONIC_ADDSD:
      return {Operation::Add, true, Shape::Scalar};
    case ZYDIS_MNEMONIC_ADDPS:
      return {Operation::Add, false, Shape::Packed};
    case ZYDIS_MNEMONIC_ADDPD:
      return {Operation::Add, true, Shape::Packed};
    case ZYDIS_MNEMONIC_SUBSS:
      return {Operation::Subtract, false, Shape::Scalar};
    case ZYDIS_MNEMONIC_SUBSD:
      return {Operation::Subtract, true, Shape::Scalar};
    case ZYDIS_MNEMONIC_SUBPS:
      return {Operation::Subtract, false, Shape::Packed};
    case ZYDIS_MNEMONIC_SUBPD:
      return {Operation::Subtract, true, Shape::Packed};
    case ZYDIS_MNEMONIC_MULSS:
      return {Operation::Multiply, false, Shape::Scalar};
    case ZYDIS_MNEMONIC_MULSD:
      return {Operation::Multiply, true, Shape::Scalar};
    case ZYDIS_MNEMONIC_MULPS:
      return {Operation::Multiply, false, Shape::Packed};
    case ZYDIS_MNEMONIC_MULPD:
      return {Operation::Multiply, true, Shape::Packed};
    case ZYDIS_MNEMONIC_DIVSS:
      return {Operation::Divide, false, Shape::Scalar};
    case ZYDIS_MNEMONIC_DIVSD:
      return {Operation::Divide, true, Shape::Scalar};
    case ZYDIS_MNEMONIC_DIVPS:
      return {Operation::Divide, false, Shape::Packed};
    case ZYDIS_MNEMONIC_DIVPD:
      return {Operation::Divide, true, Shape::Packed};
    case ZYDIS_MNEMONIC_ADDSUBPS:
      return {Operation::Add, false, Shape::Alternating};
    case ZYDIS_MNEMONIC_ADDSUBPD:
      return {Operation::Add, true, Shape::Alternating};
    case ZYDIS_MNEMONIC_HADDPS:
      return {Operation::Add, false, Shape::Horizontal};
    case ZYDIS_MNEMONIC_HADDPD:
      return {Operation::Add, true, Shape::Horizontal};
    case ZYDIS_MNEMONIC_HSUBPS:
      return {Operation::Subtract, false, Shape::Horizontal};
    case ZYDIS_MNEMONIC_HSUBPD:
      return {Operation::Subtract, true, Shape::Horizontal};
    case ZYDIS_MNEMONIC_CVTSD2SS:
      return {Operation::Convert, true, Shape::Scalar};
    case ZYDIS_MNEMONIC_CVTPD2PS:
      return {Operation::Convert, true, Shape::Packed};
    default:
      return {};
  }
}

using Bytes = std::array<uint8_t, 16>;

// The value of an operand; a memory operand is in the request's buffer.
Bytes bytes_of(const ZydisDecodedOperand& operand, const FpuUnitRunner::Request& request) {
  Bytes bytes{};
  if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    std::memcpy(bytes.data(), request.memory, operand.size / 8);
  } else if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const auto number = static_cast<size_t>(ZydisRegisterGetId(operand.reg.value));
    std::memcpy(bytes.data(), request.state->fxsave.data() + kXmm + 16 * (number & 7U),
                bytes.size());
  }
  return bytes;
}

long double element(const Bytes& bytes, size_t index, bool is_double, bool denormals_are_zeros) {
  double value = 0;
  bool is_denormal = false;
  if (is_double) {
    std::memcpy(&value, bytes.data() + 8 * index, sizeof(value));
    is_denormal = std::fpclassify(value) == FP_SUBNORMAL;
  } else {
    float narrow = 0;
    std::memcpy(&narrow, bytes.data() + 4 * index, sizeof(narrow));
    is_denormal = std::fpclassify(narrow) == FP_SUBNORMAL;
    value = narrow;
  }
  return is_denormal && denormals_are_zeros ? 0 : value;
}

// Does a number need more bits than these, whatever its exponent? 64 bits of it are known.
bool needs_more_bits(long double value, int bits) {
  if (value == 0 || !std::isfinite(value)) return false;
  int exponent = 0;
  const long double scaled = std::ldexp(std::frexp(value, &exponent), bits);
  return std::trunc(scaled) != scaled;
}

// Extended numbers hold sums, products and quotients of both formats in range; what they round is
// inexact in the narrower format, too.
bool is_inexact(Operation operation, long double left, long double right, int bits) {
  if (!std::isfinite(left) || !std::isfinite(right)) return false;
  volatile long double a = left, b = right, result = left;
  std::feclearexcept(FE_INEXACT);
  if (operation == Operation::Add) result = a + b;
  if (operation == Operation::Subtract) result = a - b;
  if (operation == Operation::Multiply) result = a * b;
  if (operation == Operation::Divide && right != 0) result = a / b;
  return std::fetestexcept(FE_INEXACT) != 0 || needs_more_bits(result, bits);
}

}  // namespace

bool is_inexact_in_any_range(const GuestInstruction& instruction,
                             const FpuUnitRunner::Request& request) {
  const Computation computation = computation_of(instruction.facts.mnemonic);
  if (computation.operation == Operation::None) return false;
  uint32_t mxcsr = 0;
  std::memcpy(&mxcsr, request.state->fxsave.data() + kMxcsr, sizeof(mxcsr));
  const bool zeros = (mxcsr & kDenormalsAreZeros) != 0;
  const Bytes destination = bytes_of(instruction.operands[0], request);
  const Bytes source = bytes_of(instruction.operands[1], request);
  const auto value = [&](const Bytes& bytes, size_t index) {
    return element(bytes, index, computation.is_double, zeros);
  };
  const bool converts = computation.operation == Operation::Convert;
  const int bits = computation.is_double && !converts ? kDoubleBits : kFloatBits;
  const size_t in_register = computation.is_double ? 2 : 4;
  const size_t count = computation.shape == Shape::Scalar ? 1 : in_register;
  bool found = false;
  std::fenv_t host;
  std::feholdexcept(&host);
  for (size_t i = 0; i < count && !found; ++i) {
    long double left = value(destination, i), right = value(source, i);
    Operation operation = computation.operation;
    if (converts) left = right;
    if (computation.shape == Shape::Alternating && i % 2 == 0) operation = Operation::Subtract;
    if (computation.shape == Shape::Horizontal) {
      const Bytes& pairs = i < count / 2 ? destination : source;
      const size_t first = 2 * (i % (count / 2));
      left = value(pairs, first);
      right = value(pairs, first + 1);
    }
    found = is_inexact(operation, left, right, bits);
  }
  std::fesetenv(&host);
  return found;
}

}  // namespace ringshift

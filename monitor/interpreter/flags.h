// Interpreter flags: one arithmetic operation each, done by the host's own instruction. The host is
// the same architecture, so results and flags are the silicon's, those the manual leaves undefined
// included. LAHF and SETO are used because PUSHF would write the stack. See SDM 1 3.4.3.1.
#pragma once

#include <cstdint>

#include "translator/guest_state.h"

namespace ringshift::host_operation {

// AH holds SF ZF AF PF CF as SAHF takes them; AL is 1 when OF is set (0x7f + 1 overflows).
inline uint32_t pack_flags(uint32_t eflags) {
  return ((eflags & 0xffU) << 8) | ((eflags >> 11) & 1U);
}
inline uint32_t unpack_flags(uint32_t ax, uint32_t eflags) {
  return (eflags & ~kFlagsArithmetic) | ((ax >> 8) & 0xd5U) | ((ax & 1U) << 11);
}

#define RINGSHIFT_LOAD_FLAGS "addb $0x7f, %%al\n\tsahf\n\t"
#define RINGSHIFT_SAVE_FLAGS "\n\tlahf\n\tseto %%al"

// name(destination, source): both registers of the same width.
#define RINGSHIFT_BINARY(name, text)                                 \
  template <typename T>                                              \
  inline T name(T destination, T source, uint32_t* eflags) {         \
    uint32_t ax = pack_flags(*eflags);                               \
    asm(RINGSHIFT_LOAD_FLAGS text " %[b], %[a]" RINGSHIFT_SAVE_FLAGS \
        : "+&a"(ax), [a] "+q"(destination)                           \
        : [b] "q"(source)                                            \
        : "cc");                                                     \
    *eflags = unpack_flags(ax, *eflags);                             \
    return destination;                                              \
  }
RINGSHIFT_BINARY(add, "add")
RINGSHIFT_BINARY(bit_or, "or")
RINGSHIFT_BINARY(adc, "adc")
RINGSHIFT_BINARY(sbb, "sbb")
RINGSHIFT_BINARY(bit_and, "and")
RINGSHIFT_BINARY(sub, "sub")
RINGSHIFT_BINARY(bit_xor, "xor")
RINGSHIFT_BINARY(imul2, "imul")
RINGSHIFT_BINARY(bt, "bt")
RINGSHIFT_BINARY(bts, "bts")
RINGSHIFT_BINARY(btr, "btr")
RINGSHIFT_BINARY(btc, "btc")
RINGSHIFT_BINARY(bsf, "bsf")
RINGSHIFT_BINARY(bsr, "bsr")
RINGSHIFT_BINARY(popcnt, "popcnt")
RINGSHIFT_BINARY(tzcnt, "tzcnt")
#undef RINGSHIFT_BINARY

#define RINGSHIFT_UNARY(name, text)                            \
  template <typename T>                                        \
  inline T name(T value, uint32_t* eflags) {                   \
    uint32_t ax = pack_flags(*eflags);                         \
    asm(RINGSHIFT_LOAD_FLAGS text " %[a]" RINGSHIFT_SAVE_FLAGS \
        : "+&a"(ax), [a] "+q"(value)                           \
        :                                                      \
        : "cc");                                               \
    *eflags = unpack_flags(ax, *eflags);                       \
    return value;                                              \
  }
RINGSHIFT_UNARY(inc, "inc")
RINGSHIFT_UNARY(dec, "dec")
RINGSHIFT_UNARY(neg, "neg")
#undef RINGSHIFT_UNARY

#define RINGSHIFT_SHIFT(name, text)                                  \
  template <typename T>                                              \
  inline T name(T value, uint8_t count, uint32_t* eflags) {          \
    uint32_t ax = pack_flags(*eflags);                               \
    asm(RINGSHIFT_LOAD_FLAGS text " %%cl, %[a]" RINGSHIFT_SAVE_FLAGS \
        : "+&a"(ax), [a] "+q"(value)                                 \
        : "c"(count)                                                 \
        : "cc");                                                     \
    *eflags = unpack_flags(ax, *eflags);                             \
    return value;                                                    \
  }
RINGSHIFT_SHIFT(rol, "rol")
RINGSHIFT_SHIFT(ror, "ror")
RINGSHIFT_SHIFT(rcl, "rcl")
RINGSHIFT_SHIFT(rcr, "rcr")
RINGSHIFT_SHIFT(shl, "shl")
RINGSHIFT_SHIFT(shr, "shr")
RINGSHIFT_SHIFT(sar, "sar")
#undef RINGSHIFT_SHIFT

#define RINGSHIFT_DOUBLE_SHIFT(name, text)                                 \
  template <typename T>                                                    \
  inline T name(T value, T filler, uint8_t count, uint32_t* eflags) {      \
    uint32_t ax = pack_flags(*eflags);                                     \
    asm(RINGSHIFT_LOAD_FLAGS text " %%cl, %[b], %[a]" RINGSHIFT_SAVE_FLAGS \
        : "+&a"(ax), [a] "+q"(value)                                       \
        : [b] "q"(filler), "c"(count)                                      \
        : "cc");                                                           \
    *eflags = unpack_flags(ax, *eflags);                                   \
    return value;                                                          \
  }
RINGSHIFT_DOUBLE_SHIFT(shld, "shld")
RINGSHIFT_DOUBLE_SHIFT(shrd, "shrd")
#undef RINGSHIFT_DOUBLE_SHIFT

// BMI1, VEX-encoded: r/m and, where there is one, the source that VEX.vvvv names.
#define RINGSHIFT_BMI1(name, text)                                     \
  inline uint32_t name(uint32_t rm, uint32_t vvvv, uint32_t* eflags) { \
    uint32_t ax = pack_flags(*eflags);                                 \
    uint32_t result = 0;                                               \
    asm(RINGSHIFT_LOAD_FLAGS text RINGSHIFT_SAVE_FLAGS                 \
        : "+&a"(ax), [result] "=&r"(result)                            \
        : [rm] "r"(rm), [vvvv] "r"(vvvv)                               \
        : "cc");                                                       \
    *eflags = unpack_flags(ax, *eflags);                               \
    return result;                                                     \
  }
RINGSHIFT_BMI1(andn, "andn %[rm], %[vvvv], %[result]")
RINGSHIFT_BMI1(bextr, "bextr %[vvvv], %[rm], %[result]")
RINGSHIFT_BMI1(blsi, "blsi %[rm], %[result]")
RINGSHIFT_BMI1(blsmsk, "blsmsk %[rm], %[result]")
RINGSHIFT_BMI1(blsr, "blsr %[rm], %[result]")
#undef RINGSHIFT_BMI1

// One-operand MUL and IMUL: *low and *high as AX/DX:AX/EDX:EAX (AX whole in *low for bytes).
#define RINGSHIFT_WIDE(name, text)                                               \
  template <typename T>                                                          \
  inline void name(uint32_t* low, uint32_t* high, T operand, uint32_t* eflags) { \
    uint32_t ax = pack_flags(*eflags);                                           \
    uint32_t value = *low;                                                       \
    asm(RINGSHIFT_LOAD_FLAGS "movl %[low], %%eax\n\t" text                       \
                             " %[b]\n\tmovl %%eax, %[low]" RINGSHIFT_SAVE_FLAGS  \
        : "+&a"(ax), [low] "+&q"(value), "+&d"(*high)                            \
        : [b] "q"(operand)                                                       \
        : "cc");                                                                 \
    *eflags = unpack_flags(ax, *eflags);                                         \
    *low = value;                                                                \
  }
RINGSHIFT_WIDE(mul, "mul")
RINGSHIFT_WIDE(imul, "imul")
// Pre (div, idiv): the quotient fits, or the host would raise #DE.
RINGSHIFT_WIDE(div, "div")
RINGSHIFT_WIDE(idiv, "idiv")
#undef RINGSHIFT_WIDE
#undef RINGSHIFT_LOAD_FLAGS
#undef RINGSHIFT_SAVE_FLAGS

template <typename T>
inline uint32_t crc32(uint32_t accumulator, T data) {
  if constexpr (sizeof(T) == 1) {
    asm("crc32b %1, %0" : "+r"(accumulator) : "q"(data));
  } else if constexpr (sizeof(T) == 2) {
    asm("crc32w %1, %0" : "+r"(accumulator) : "r"(data));
  } else {
    asm("crc32l %1, %0" : "+r"(accumulator) : "r"(data));
  }
  return accumulator;
}

}  // namespace ringshift::host_operation

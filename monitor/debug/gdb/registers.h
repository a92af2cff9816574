// Registers: the registers that a debugger sees, in the order and the layout of the description it
// is sent. Owns: the description. Reads any register of a GuestState; writes those whose value is
// theirs alone. Selectors, descriptors and control registers have consequences: machine_target's.
// See docs/debugging.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "translator/guest_state.h"

namespace ringshift::debug {

enum class RegisterClass : uint8_t {
  General,  // index: Gpr
  InstructionPointer,
  Eflags,
  Selector,  // index: SegmentRegister
  X87,       // index: ST(i)
  X87State,  // index: X87Field
  Xmm,
  Mxcsr,
  Control,  // index: number
  Debug,    // index: number
  System,   // index: SystemField
};

enum class X87Field : uint8_t { Control, Status, Tag, CodeSegment, Ip, DataSegment, Dp, Opcode };
enum class SystemField : uint8_t {
  Efer,
  Cpl,
  GdtrBase,
  GdtrLimit,
  IdtrBase,
  IdtrLimit,
  Ldtr,
  Tr,
  FsBase,
  GsBase,
};

struct Register {
  std::string name;
  const char* type;
  uint32_t bits;
  RegisterClass kind;
  uint8_t index = 0;
  [[nodiscard]] uint32_t bytes() const { return bits / 8; }
};

inline constexpr uint32_t kLargestRegister = 16;  // bytes

[[nodiscard]] const std::vector<Register>& registers();
// The bytes of all of them, one after another.
[[nodiscard]] uint32_t all_register_bytes();
// The XML document that says so to gdb.
[[nodiscard]] const std::string& target_description();

// Pre: `value` has the register's size.
void read_register(const GuestState& state, const Register& which, std::span<uint8_t> value);
// False: this one cannot be written here.
[[nodiscard]] bool write_register(GuestState* state, const Register& which,
                                  std::span<const uint8_t> value);

}  // namespace ringshift::debug

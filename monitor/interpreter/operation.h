// Interp: shared by the instruction families of the interpreter: a decoded operation, the running
// instruction's context, operand access. Private to this folder. Every handler leaves the state
// unchanged when it returns a fault (V1). See docs/faults-and-exits.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/interpreter/interpreter.h"
#include "shadowmmu/base/guest_fault.h"
#include "translator/decode.h"
#include "translator/event_rule.h"
#include "translator/fpu_unit_runner.h"

namespace ringshift::interp {

struct Execution;
struct Operation;
using Handler = MaybeFault (*)(Execution&, const Operation&);

inline constexpr uint8_t kNoRegister = 0xff;

enum class Repeat : uint8_t { None, WhileEqual /* F3 */, WhileNotEqual /* F2 */ };

// One decoded instruction: one cache line, so that a decode-cache hit costs one miss at most.
struct alignas(64) Operation {
  std::array<uint8_t, 16> bytes{};
  Handler handler = nullptr;
  uint32_t linear = 0;  // where it was fetched; with `mode` the key of the decode cache
  uint32_t displacement = 0;
  uint32_t immediate = 0;   // sign-extended to 32 bits
  uint32_t immediate2 = 0;  // far selector, ENTER level
  DecodeMode mode = DecodeMode::Bits32;
  uint8_t length = 0;  // 0: empty cache entry
  uint8_t opcode = 0;
  uint8_t reg = 0;  // ModRM.reg
  uint8_t rm = 0;   // ModRM.rm, or the register in the low opcode bits
  uint8_t base = kNoRegister;
  uint8_t index = kNoRegister;
  uint8_t scale_shift = 0;
  uint8_t operand_bytes = 4;  // 2 or 4: the effective operand size, disregarding byte opcodes
  uint8_t memory_bytes = 0;   // FPU/SIMD only: size of the memory operand
  uint8_t memory_access = 0;  // FPU/SIMD only: kReads | kWrites | kMustAlign
  uint8_t vvvv = 0;           // VEX only: its own register operand
  SegmentRegister segment = SegmentRegister::Ds;
  Repeat repeat = Repeat::None;
  bool is_memory = false;  // ModRM names memory
  bool address_16 = false;
  // Leaves the mode, the interrupt flag, the segments and the ports alone, and is one step: the
  // next instruction may follow without a look at the world outside.
  bool is_plain = false;
  EventRule event = EventRule::None;
};
static_assert(sizeof(Operation) == 64, "a decode-cache entry is one cache line");

inline constexpr uint8_t kReads = 1;
inline constexpr uint8_t kWrites = 2;
inline constexpr uint8_t kMustAlign = 4;

// The facts from which a family chooses a handler.
struct Encoding {
  const GuestInstruction& instruction;
  const CpuModel& model;
  ZydisOpcodeMap map;
  uint8_t opcode;
  uint8_t mod, reg, rm;
  unsigned operand_bytes;  // 1 for byte opcodes is the family's own business
  Repeat repeat;
  bool has_66;
};

// Handlers of one family for an encoding, or null when it is none of theirs.
[[nodiscard]] Handler select_arithmetic(const Encoding& encoding);
[[nodiscard]] Handler select_multiply(const Encoding& encoding);
[[nodiscard]] Handler select_decimal(const Encoding& encoding);
[[nodiscard]] Handler select_shift(const Encoding& encoding);
[[nodiscard]] Handler select_move(const Encoding& encoding);
[[nodiscard]] Handler select_stack(const Encoding& encoding);
[[nodiscard]] Handler select_control(const Encoding& encoding);
[[nodiscard]] Handler select_string(const Encoding& encoding);
[[nodiscard]] Handler select_bits(const Encoding& encoding);
// The VEX-encoded part of BMI1; `select_bits` has TZCNT.
[[nodiscard]] Handler select_bmi1(const Encoding& encoding);
[[nodiscard]] Handler select_segment(const Encoding& encoding);
[[nodiscard]] Handler select_system(const Encoding& encoding);
[[nodiscard]] Handler select_fpu(const Encoding& encoding, Operation* operation);

// Fills everything but `linear`; an operation the processor does not know gets the #UD handler.
void prepare_operation(const GuestInstruction& instruction, DecodeMode mode, const CpuModel& model,
                       Operation* operation);
[[nodiscard]] MaybeFault undefined_opcode(Execution& x, const Operation& op);

// The instruction being executed.
struct Execution {
  Execution(CpuContext& context, FpuUnitRunner& runner)
      : cpu(context), state(context.state), memory(context.memory), fpu(runner) {}
  CpuContext& cpu;
  GuestState& state;
  LinearMemory& memory;
  FpuUnitRunner& fpu;

  Eip next_eip;
  StepKind kind = StepKind::Done;
  uint8_t vector = 0;
  bool software_exception = false;
  bool debug_trap = false;         // INT1: #DB as a trap, without bits in DR6
  bool keep_resume_flag = false;   // IRET and task switches load RF themselves
  bool single_iterations = false;  // Interpreter::iterate_singly
  bool stepping = false;           // TF or data breakpoints: one string iteration at a time
  bool watching = false;           // DR7 enables something, or there is a watcher
  bool counts_events = false;      // an iteration that has called a device ends its batch
  uint32_t debug_hits = 0;         // DR6 bits of data breakpoints that this instruction hit
  std::string message;             // StepKind::Unimplemented
  DataWatcher* watcher = nullptr;

  [[nodiscard]] Privilege privilege() const { return state.privilege(); }
  [[nodiscard]] bool protected_not_v86() const {
    return state.protected_mode() && !state.v86_mode();
  }
};

[[nodiscard]] inline GuestFault general_protection() { return GuestFault::general_protection(0); }

// Notes accesses that a data breakpoint of DR7 watches (SDM 3A 17.2.4), and tells the watcher.
void note_data_access(Execution& x, GuestVirtual address, uint32_t length, AccessKind access);
void note_io_access(Execution& x, uint16_t port, uint32_t length);

// --- registers ---------------------------------------------------------------------------------
// AH, CH, DH, BH are byte registers 4..7 (SDM 2A table 2-2).
template <typename T>
[[nodiscard]] inline T& register_of(GuestState& state, unsigned number) {
  if constexpr (sizeof(T) == 1) {
    return reinterpret_cast<T*>(&state.gpr[number & 3U])[number >> 2];
  } else {
    return *reinterpret_cast<T*>(&state.gpr[number]);
  }
}

template <typename T>
[[nodiscard]] constexpr unsigned bits_of() {
  return 8U * static_cast<unsigned>(sizeof(T));
}

// --- memory ------------------------------------------------------------------------------------
[[nodiscard]] inline uint32_t effective_address(const GuestState& state, const Operation& op) {
  uint32_t address = op.displacement;
  if (op.base != kNoRegister) address += state.gpr[op.base];
  if (op.index != kNoRegister) address += state.gpr[op.index] << op.scale_shift;
  return op.address_16 ? address & 0xffffU : address;
}

[[nodiscard]] inline uint32_t address_mask(const Operation& op) {
  return op.address_16 ? 0xffffU : 0xffffffffU;
}

[[nodiscard]] inline MaybeFault linear_of(Execution& x, SegmentRegister segment, uint32_t offset,
                                          uint32_t length, AccessKind access,
                                          GuestVirtual* linear) {
  const SegmentCache& cache = x.state.seg(segment);
  // Present, writable, expand-up data: nothing but the limit is left to check.
  if ((cache.attributes & 0x9eU) == 0x92U && offset <= cache.limit &&
      cache.limit - offset >= length - 1) [[likely]] {
    *linear = GuestVirtual(cache.base + offset);
  } else {
    RETURN_IF_FAULT(linear_address(x.cpu, segment, GuestOffset(offset), length, access, linear));
  }
  if (x.watching) [[unlikely]]
    note_data_access(x, *linear, length, access);
  return kNoFault;
}

// #AC of an operand whose address a multiple of `alignment`, a power of two, is asked of: SDM 3A
// table 6-7. It comes before page faults, as on the processors that were asked.
[[nodiscard]] inline MaybeFault check_alignment(const Execution& x, GuestVirtual address,
                                                uint32_t alignment) {
  if (is_misaligned(x.state, address, alignment)) [[unlikely]]
    return alignment_fault();
  return kNoFault;
}

template <typename T>
[[nodiscard]] inline MaybeFault load(Execution& x, SegmentRegister segment, uint32_t offset,
                                     T* value) {
  GuestVirtual linear;
  RETURN_IF_FAULT(linear_of(x, segment, offset, sizeof(T), AccessKind::Read, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, sizeof(T)));
  return x.memory.read_value<T>(linear, x.privilege(), value);
}

template <typename T>
[[nodiscard]] inline MaybeFault store(Execution& x, SegmentRegister segment, uint32_t offset,
                                      T value) {
  GuestVirtual linear;
  RETURN_IF_FAULT(linear_of(x, segment, offset, sizeof(T), AccessKind::Write, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, sizeof(T)));
  return x.memory.write_value<T>(linear, x.privilege(), value);
}

// First half of a read-modify-write. A fault must be the write's (error code W: SDM 3A 4.7), so a
// read that faults is answered with the write's fault.
template <typename T>
[[nodiscard]] inline MaybeFault load_for_update(Execution& x, SegmentRegister segment,
                                                uint32_t offset, GuestVirtual* linear, T* value) {
  RETURN_IF_FAULT(linear_of(x, segment, offset, sizeof(T), AccessKind::Write, linear));
  RETURN_IF_FAULT(check_alignment(x, *linear, sizeof(T)));
  if (x.watching) [[unlikely]]
    note_data_access(x, *linear, sizeof(T), AccessKind::Read);
  if (auto fault = x.memory.read_value<T>(*linear, x.privilege(), value)) [[unlikely]] {
    RETURN_IF_FAULT(x.memory.probe_write(*linear, sizeof(T), x.privilege()));
    return fault;
  }
  return kNoFault;
}

template <typename T>
[[nodiscard]] inline MaybeFault load_rm(Execution& x, const Operation& op, T* value) {
  if (op.is_memory) return load<T>(x, op.segment, effective_address(x.state, op), value);
  *value = register_of<T>(x.state, op.rm);
  return kNoFault;
}

template <typename T>
[[nodiscard]] inline MaybeFault store_rm(Execution& x, const Operation& op, T value) {
  if (op.is_memory) return store<T>(x, op.segment, effective_address(x.state, op), value);
  register_of<T>(x.state, op.rm) = value;
  return kNoFault;
}

// Replaces r/m by compute(old, &eflags); flags are committed only when the store succeeded.
template <typename T, typename Compute>
[[nodiscard]] inline MaybeFault update_rm(Execution& x, const Operation& op, Compute compute) {
  uint32_t eflags = x.state.eflags;
  if (!op.is_memory) {
    T& destination = register_of<T>(x.state, op.rm);
    destination = compute(destination, &eflags);
    x.state.eflags = eflags;
    return kNoFault;
  }
  GuestVirtual linear;
  T value;
  RETURN_IF_FAULT(
      load_for_update<T>(x, op.segment, effective_address(x.state, op), &linear, &value));
  value = compute(value, &eflags);
  RETURN_IF_FAULT(x.memory.write_value<T>(linear, x.privilege(), value));
  x.state.eflags = eflags;
  return kNoFault;
}

// --- stack -------------------------------------------------------------------------------------
[[nodiscard]] inline uint32_t stack_mask(const GuestState& state) {
  return state.seg(SegmentRegister::Ss).default_32() ? 0xffffffffU : 0xffffU;
}
// ESP when the stack pointer becomes `value`: a 16-bit stack moves SP alone.
[[nodiscard]] inline uint32_t moved_stack_pointer(const GuestState& state, uint32_t value) {
  const uint32_t mask = stack_mask(state);
  return (state.reg(Gpr::Esp) & ~mask) | (value & mask);
}
inline void set_stack_pointer(GuestState& state, uint32_t value) {
  state.reg(Gpr::Esp) = moved_stack_pointer(state, value);
}
// Writes at ESP - depth - sizeof(T) without moving ESP: several pushes become one commit.
template <typename T>
[[nodiscard]] inline MaybeFault write_below(Execution& x, uint32_t depth, T value) {
  const uint32_t offset =
      (x.state.reg(Gpr::Esp) - depth - static_cast<uint32_t>(sizeof(T))) & stack_mask(x.state);
  return store<T>(x, SegmentRegister::Ss, offset, value);
}
template <typename T>
[[nodiscard]] inline MaybeFault read_above(Execution& x, uint32_t depth, T* value) {
  const uint32_t offset = (x.state.reg(Gpr::Esp) + depth) & stack_mask(x.state);
  return load<T>(x, SegmentRegister::Ss, offset, value);
}
template <typename T>
[[nodiscard]] inline MaybeFault push(Execution& x, T value) {
  RETURN_IF_FAULT(write_below<T>(x, 0, value));
  set_stack_pointer(x.state, x.state.reg(Gpr::Esp) - static_cast<uint32_t>(sizeof(T)));
  return kNoFault;
}

// --- conditions --------------------------------------------------------------------------------
// SDM 1 appendix B: the low bit inverts.
[[nodiscard]] inline bool condition_holds(unsigned code, uint32_t eflags) {
  const bool sf_differs = ((eflags >> 7) & 1U) != ((eflags >> 11) & 1U);
  bool result = false;
  switch (code >> 1) {
    case 0:
      result = (eflags & kFlagOf) != 0;
      break;
    case 1:
      result = (eflags & kFlagCf) != 0;
      break;
    case 2:
      result = (eflags & kFlagZf) != 0;
      break;
    case 3:
      result = (eflags & (kFlagCf | kFlagZf)) != 0;
      break;
    case 4:
      result = (eflags & kFlagSf) != 0;
      break;
    case 5:
      result = (eflags & kFlagPf) != 0;
      break;
    case 6:
      result = sf_differs;
      break;
    default:
      result = sf_differs || (eflags & kFlagZf) != 0;
      break;
  }
  return result != ((code & 1U) != 0);
}

// Picks the handler of the effective operand size.
[[nodiscard]] inline Handler by_size(unsigned operand_bytes, Handler word, Handler dword) {
  return operand_bytes == 2 ? word : dword;
}
[[nodiscard]] inline Handler by_size(bool is_byte, unsigned operand_bytes, Handler byte,
                                     Handler word, Handler dword) {
  return is_byte ? byte : by_size(operand_bytes, word, dword);
}

}  // namespace ringshift::interp

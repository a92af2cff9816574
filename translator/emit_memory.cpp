// Plain instructions with their operands, stack and string instructions.
#include <array>

#include "shadowmmu/base/check.h"
#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;
using host::slot64;

namespace {

// A displacement that is added to a register in the host's 64 bits instead of the guest's 32: near
// enough to zero that a register holding a small negative number or a pointer still ends in the
// window or its guard zones. Kernel addresses as displacement (0xc...) must wrap, so they use LEA.
constexpr int64_t kSmallestFoldedDisplacement = -(int64_t{1} << 24);

unsigned gpr_number(ZydisRegister reg) { return static_cast<unsigned>(ZydisRegisterGetId(reg)); }

bool is_fs_or_gs(const ZydisDecodedOperand& operand) {
  return operand.mem.segment == ZYDIS_REGISTER_FS || operand.mem.segment == ZYDIS_REGISTER_GS;
}

x86::Mem dword_at(const HostMemory& memory) {
  const x86::Gp base = x86::gpq(*memory.base);
  return memory.index ? x86::dword_ptr(base, x86::gpq(*memory.index), 0, memory.displacement)
                      : x86::dword_ptr(base, memory.displacement);
}

bool touches_no_memory(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_PREFETCH:
    case ZYDIS_MNEMONIC_PREFETCHW:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2:
      return true;
    default:
      return false;
  }
}

bool writes(const ZydisDecodedOperand& operand) {
  return (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

bool is_soft_size(uint32_t size) {
  for (uint32_t allowed : kSoftSizes) {
    if (allowed == size) return true;
  }
  return false;
}

// BT and friends with a register bit offset reach beyond their operand.
bool is_bit_string(const UnitInstruction& instruction) {
  switch (instruction.instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return instruction.instruction.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    default:
      return false;
  }
}

RecoveryKind swapped_kind(unsigned reg) {
  return static_cast<RecoveryKind>(static_cast<unsigned>(RecoveryKind::SwappedHighA) + reg);
}

}  // namespace

HostMemory Emitter::effective_address_form(const ZydisDecodedOperand& operand) const {
  HostMemory form;
  if (operand.mem.base != ZYDIS_REGISTER_NONE) {
    form.base = host::of_guest(gpr_number(operand.mem.base));
  }
  if (operand.mem.index != ZYDIS_REGISTER_NONE) {
    form.index = host::of_guest(gpr_number(operand.mem.index));
    form.scale = operand.mem.scale == 8 ? 3U : operand.mem.scale == 4 ? 2U : operand.mem.scale - 1U;
  }
  if (operand.mem.disp.has_displacement) {
    form.displacement = static_cast<int32_t>(operand.mem.disp.value);
  }
  return form;
}

// R8D := effective address, wrapped to 32 bits.
void Emitter::load_address(const HostMemory& form) {
  if (!form.base && !form.index) {
    a_.mov(host::address.r32(), static_cast<uint32_t>(form.displacement));
    return;
  }
  if (form.base && !form.index && form.displacement == 0) {
    a_.mov(host::address.r32(), x86::gpd(*form.base));
    return;
  }
  embed(encode_load_address(host::kAddress, form));
}

void Emitter::call_soft(bool is_write, uint32_t size) {
  const uint64_t stub = stubs_.soft_for(unit_->key.privilege, is_write, size);
  CHECK(stub != 0);
  call_stub(stub);
}

// A segment that may not be used, or not like this, is for the interpreter (T5). Plain sites find
// out by a fault, soft ones, which others have become by such faults, look.
void Emitter::probe_segment(const UnitInstruction& instruction, const x86::Mem& probe) {
  if (instruction.style == AccessStyle::Window) {
    a_.mov(host::scratch, probe);
    a_.mov(host::scratch.r32(), x86::dword_ptr(host::scratch));
    return;
  }
  Label refused = a_.newLabel();
  Label allowed = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  a_.mov(x86::rcx, probe);
  a_.lea(x86::rcx, x86::ptr(x86::rcx, -static_cast<int32_t>(kNoProbe)));
  a_.jecxz(x86::rcx, refused);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.short_().jmp(allowed);
  a_.bind(refused);
  a_.mov(x86::rcx, host::saved_rcx);
  emit_interpret(instruction);
  a_.bind(allowed);
}

HostMemory Emitter::prepare_memory(const UnitInstruction& instruction,
                                   const ZydisDecodedOperand& operand,
                                   bool force_address_register) {
  const HostMemory form = effective_address_form(operand);
  const bool narrow = instruction.instruction.facts.address_width == 16;
  const CodeMode& mode = unit_->key.mode;
  const bool is_usual = mode.is_flat() || (!narrow && mode.kind(segment_of(operand.mem.segment)) ==
                                                          SegmentKind::Flat);
  if (!is_usual) {
    load_address_in_mode(operand, narrow);
    to_linear(segment_of(operand.mem.segment), operand.size / 8U, narrow);
  } else if (is_fs_or_gs(operand) && mode.is_flat()) {
    const bool fs = operand.mem.segment == ZYDIS_REGISTER_FS;
    const auto index = static_cast<size_t>(fs ? SegmentRegister::Fs : SegmentRegister::Gs);
    probe_segment(instruction, slot64(fs ? RINGSHIFT_SLOT(fs_probe) : RINGSHIFT_SLOT(gs_probe)));
    load_address(form);
    a_.mov(host::scratch.r32(),
           slot32(RINGSHIFT_STATE(segment) + static_cast<int32_t>(index * sizeof(SegmentCache)) +
                  static_cast<int32_t>(offsetof(SegmentCache, base))));
    a_.lea(host::address.r32(), x86::ptr(host::address, host::scratch));
  } else if (instruction.style == AccessStyle::Window && !force_address_register && !form.index &&
             (form.base ? form.displacement >= kSmallestFoldedDisplacement
                        : form.displacement >= 0)) {
    HostMemory folded;
    folded.base = host::kWindow;
    folded.index = form.base;
    folded.displacement = form.displacement;
    return folded;
  } else {
    load_address(form);
  }
  HostMemory result;
  if (instruction.style == AccessStyle::Soft) {
    call_soft(writes(operand), operand.size / 8U);
    result.base = host::kAddress;
  } else {
    result.base = host::kWindow;
    result.index = host::kAddress;
  }
  return result;
}

void Emitter::emit_reencode(const UnitInstruction& instruction) {
  const ZydisDecodedOperand* operand = memory_operand(instruction.instruction);
  if (touches_no_memory(instruction.instruction.facts.mnemonic)) {
    a_.nop();
    return;
  }
  if (operand == nullptr) {
    const auto bytes = reencode(instruction, nullptr);
    if (!bytes) return emit_callout(instruction);
    embed(*bytes);
    return;
  }
  if (instruction.style == AccessStyle::Soft &&
      (!is_soft_size(operand->size / 8U) || is_bit_string(instruction))) {
    return emit_callout(instruction);
  }
  if (const auto reg = high_byte_register(instruction.instruction)) {
    return emit_with_swapped_high_byte(instruction, *operand, *reg);
  }
  const HostMemory memory = prepare_memory(instruction, *operand, false);
  const auto bytes = reencode(instruction, &memory);
  CHECK(bytes.has_value());  // only a high-byte register can fail, and it went the other way
  embed(*bytes);
}

// AH..BH cannot be named beside the REX prefix our operands need: exchange it with AL..BL around
// the instruction, which then names the low byte.
void Emitter::emit_with_swapped_high_byte(const UnitInstruction& instruction,
                                          const ZydisDecodedOperand& operand, unsigned reg) {
  if (instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_CMPXCHG) {
    return emit_callout(instruction);  // AL is an operand of its own there
  }
  const HostMemory memory = prepare_memory(instruction, operand, true);
  const auto bytes = reencode(instruction, &memory, true);
  CHECK(bytes.has_value());
  const unsigned exchange = 0xc0U | ((reg + 4) << 3) | reg;
  embed_byte(0x86);
  embed_byte(exchange);
  mark(instruction.eip, swapped_kind(reg));
  embed(*bytes);
  embed_byte(0x86);
  embed_byte(exchange);
}

void Emitter::emit_lea(const UnitInstruction& instruction) {
  const HostMemory form = effective_address_form(*memory_operand(instruction.instruction));
  const auto bytes = reencode(instruction, &form);
  CHECK(bytes.has_value());
  embed(*bytes);
}

x86::Mem Emitter::stack_slot_for_push(AccessStyle style) {
  if (style == AccessStyle::Window) {
    return x86::dword_ptr(host::window, host::guest_esp, 0, -4);
  }
  a_.lea(host::address.r32(), x86::ptr(host::guest_esp, -4));
  call_soft(true, 4);
  return x86::dword_ptr(host::address);
}

x86::Mem Emitter::stack_slot_for_pop(AccessStyle style) {
  if (style == AccessStyle::Window) return x86::dword_ptr(host::window, host::guest_esp);
  a_.mov(host::address.r32(), host::guest_esp.r32());
  call_soft(false, 4);
  return x86::dword_ptr(host::address);
}

void Emitter::push_register(const UnitInstruction& instruction, Gp value) {
  a_.mov(stack_slot_for_push(instruction.style), value.r32());
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
}

void Emitter::push_constant(const UnitInstruction& instruction, uint32_t value) {
  a_.mov(stack_slot_for_push(instruction.style), value);
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
}

void Emitter::push_eip(const UnitInstruction& instruction, Eip eip) {
  a_.mov(stack_slot_for_push(instruction.style), eip.value());
  relocate(RelocationKind::EipPlain);
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
}

// destination := the 32-bit register or memory operand 0. False: cannot (the caller interprets).
bool Emitter::can_load(const ZydisDecodedOperand& operand) {
  return operand.type == ZYDIS_OPERAND_TYPE_REGISTER ||
         (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.size == 32);
}

bool Emitter::load_operand(const UnitInstruction& instruction, Gp destination) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  if (!can_load(operand)) return false;
  if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    a_.mov(destination.r32(), host::guest32[gpr_number(operand.reg.value)]);
    return true;
  }
  const HostMemory memory = prepare_memory(instruction, operand, false);
  a_.mov(destination.r32(), dword_at(memory));
  return true;
}

void Emitter::emit_push(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  switch (operand.type) {
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      return push_constant(instruction, static_cast<uint32_t>(operand.imm.value.s));
    case ZYDIS_OPERAND_TYPE_REGISTER:
      return push_register(instruction, host::guest32[gpr_number(operand.reg.value)]);
    default:
      break;
  }
  if (!load_operand(instruction, host::scratch)) return emit_callout(instruction);
  if (instruction.style == AccessStyle::Soft) {
    // The soft stub of the store has no scratch register to spare.
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
    const x86::Mem slot = stack_slot_for_push(instruction.style);
    a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(scratch)));
    a_.mov(slot, host::scratch.r32());
    a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
    return;
  }
  push_register(instruction, host::scratch);
}

void Emitter::emit_pop(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) return emit_pop_to_memory(instruction);
  const x86::Gp destination = host::guest32[gpr_number(operand.reg.value)];
  a_.mov(destination, stack_slot_for_pop(instruction.style));
  if (destination != host::guest_esp.r32()) {
    a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, 4));
  }
}

// POP to a variable: compilers save the flags by PUSHF and such a POP. ESP moves when the store has
// been done.
void Emitter::emit_pop_to_memory(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  // An address made of ESP is made of the new one; rare enough for the interpreter.
  if (operand.mem.base == ZYDIS_REGISTER_ESP || operand.mem.segment == ZYDIS_REGISTER_CS) {
    return emit_callout(instruction);
  }
  const bool is_soft = instruction.style == AccessStyle::Soft;
  if (is_soft) {
    a_.mov(host::scratch.r32(), stack_slot_for_pop(instruction.style));
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  }
  const HostMemory memory = prepare_memory(instruction, operand, false);
  a_.mov(host::scratch.r32(),
         is_soft ? slot32(RINGSHIFT_SLOT(scratch)) : stack_slot_for_pop(instruction.style));
  a_.mov(dword_at(memory), host::scratch.r32());
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, 4));
}

void Emitter::emit_leave(const UnitInstruction& instruction) {
  if (instruction.style == AccessStyle::Window) {
    a_.mov(host::scratch.r32(), x86::dword_ptr(host::window, x86::rbp));
  } else {
    a_.mov(host::address.r32(), x86::ebp);
    call_soft(false, 4);
    a_.mov(host::scratch.r32(), x86::dword_ptr(host::address));
  }
  a_.lea(host::guest_esp.r32(), x86::ptr(x86::rbp, 4));
  a_.mov(x86::ebp, host::scratch.r32());
}

namespace {

// The prefixes F3 and F2.
enum class Repeat : uint8_t { None, WhileEqual, WhileNotEqual, Both };

Repeat repeat_of(const UnitInstruction& instruction) {
  const ZydisDecodedInstruction& facts = instruction.instruction.facts;
  bool equal = false;
  bool not_equal = false;
  for (uint8_t i = 0; i < facts.raw.prefix_count; ++i) {
    equal = equal || facts.raw.prefixes[i].value == 0xf3;
    not_equal = not_equal || facts.raw.prefixes[i].value == 0xf2;
  }
  if (equal && not_equal) return Repeat::Both;
  if (equal) return Repeat::WhileEqual;
  return not_equal ? Repeat::WhileNotEqual : Repeat::None;
}

bool reads_source(unsigned kind) { return kind == 0xa4 || kind == 0xa6 || kind == 0xac; }
bool uses_destination(unsigned kind) { return kind != 0xac; }

RecoveryKind string_recovery(unsigned kind, Repeat repeat) {
  const bool once = repeat == Repeat::None;
  if (!uses_destination(kind)) {
    return once ? RecoveryKind::StringSource : RecoveryKind::RepeatSource;
  }
  if (!reads_source(kind)) {
    return once ? RecoveryKind::StringDestination : RecoveryKind::RepeatDestination;
  }
  return once ? RecoveryKind::StringBoth : RecoveryKind::RepeatBoth;
}

}  // namespace

// The host's own string instruction on window addresses: a fault in the middle of a REP finds RCX,
// RSI and RDI advanced exactly as the guest's must be.
void Emitter::emit_string(const UnitInstruction& instruction) {
  const bool is_soft = instruction.style == AccessStyle::Soft;
  switch (repeat_of(instruction)) {
    case Repeat::None:
      if (!is_soft) return emit_string_once(instruction);
      // User code earns its window by work, and callouts count as work.
      if (unit_->key.privilege == Privilege::User) return emit_callout(instruction);
      return emit_string_apart(instruction);
    case Repeat::WhileEqual:
    case Repeat::WhileNotEqual:
      if (!is_soft) return emit_string_repeated(instruction);
      return may_repeat_apart(instruction) ? emit_repeat_apart(instruction)
                                           : emit_callout(instruction);
    case Repeat::Both:
      return emit_callout(instruction);
  }
  UNREACHABLE();
}

// The guest chooses the count, and a host instruction cannot poll. So no more than 65,536 elements
// are done between two polls; the rest of the count is held back meanwhile. No flag is touched: at
// the end they are those of the last comparison, which also says whether there is a rest to do.
void Emitter::emit_string_repeated(const UnitInstruction& instruction) {
  constexpr int32_t kMostElements = 1 << 16;
  const x86::Mem held_back = slot32(RINGSHIFT_SLOT(repeats_held_back));
  Label again = a_.newLabel();
  Label few = a_.newLabel();
  Label counted = a_.newLabel();
  Label done = a_.newLabel();
  a_.bind(again);
  emit_poll();
  // Is the upper half of the count zero?
  a_.mov(host::saved_rcx.r32(), x86::ecx);
  a_.bswap(x86::ecx);
  a_.movzx(x86::ecx, x86::cx);
  a_.jecxz(x86::ecx, few);
  a_.lea(host::scratch.r32(), x86::ptr(host::saved_rcx, -kMostElements));
  a_.mov(held_back, host::scratch.r32());
  a_.mov(x86::ecx, kMostElements);
  a_.short_().jmp(counted);
  a_.bind(few);
  a_.mov(held_back, 0);
  a_.mov(x86::ecx, host::saved_rcx.r32());
  a_.bind(counted);
  emit_string_once(instruction);
  a_.mov(host::scratch.r32(), held_back);
  a_.lea(x86::ecx, x86::ptr(x86::rcx, host::scratch));
  const unsigned kind = instruction.instruction.facts.opcode & 0xfeU;
  const bool compares = kind == 0xa6 || kind == 0xae;
  const bool while_equal = repeat_of(instruction) == Repeat::WhileEqual;
  if (compares && while_equal) a_.short_().jne(done);
  if (compares && !while_equal) a_.short_().je(done);
  a_.jecxz(x86::ecx, done);
  a_.jmp(again);
  a_.bind(done);
}

void Emitter::emit_string_once(const UnitInstruction& instruction) {
  const ZydisDecodedInstruction& facts = instruction.instruction.facts;
  const unsigned kind = facts.opcode & 0xfeU;
  const bool source = reads_source(kind);
  const bool destination = uses_destination(kind);
  if (source) a_.lea(x86::rsi, x86::ptr(host::window, x86::rsi));
  if (destination) a_.lea(x86::rdi, x86::ptr(host::window, x86::rdi));
  mark(instruction.eip, string_recovery(kind, repeat_of(instruction)));
  for (uint8_t i = 0; i < facts.raw.prefix_count; ++i) {
    const uint8_t prefix = facts.raw.prefixes[i].value;
    if (prefix == 0x66 || prefix == 0xf2 || prefix == 0xf3) embed_byte(prefix);
  }
  embed_byte(facts.opcode);
  a_.mov(host::scratch, slot64(RINGSHIFT_SLOT(window_negated)));
  if (source) a_.lea(x86::esi, x86::ptr(x86::rsi, host::scratch));
  if (destination) a_.lea(x86::edi, x86::ptr(x86::rdi, host::scratch));
}

}  // namespace ringshift

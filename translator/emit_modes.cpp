// Code whose segments are not flat, and code of 16 bits: the differences from the usual mode.
// Nothing here touches a flag, except the guest's own instruction.
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

constexpr uint32_t kWord = 2;
constexpr uint32_t kDoubleWord = 4;
constexpr uint32_t kNoLimit = 0xffffffff;

uint32_t operand_bytes(const UnitInstruction& instruction) {
  return instruction.has_narrow_operands ? kWord : kDoubleWord;
}

bool has_narrow_address(const UnitInstruction& instruction) {
  return instruction.instruction.facts.address_width == 16;
}

unsigned host_number(ZydisRegister reg) {
  return host::of_guest(static_cast<unsigned>(ZydisRegisterGetId(reg)));
}

x86::Gp sized(unsigned number, uint32_t bytes) {
  return bytes == kWord ? x86::Gp(x86::gpw(number)) : x86::Gp(x86::gpd(number));
}

int32_t field_of(SegmentRegister segment, size_t member) {
  return RINGSHIFT_STATE(segment) +
         static_cast<int32_t>(static_cast<size_t>(segment) * sizeof(SegmentCache) + member);
}

bool is_immediate(const UnitInstruction& instruction) {
  return instruction.instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

bool uses_flat_segments_only(const UnitInstruction& instruction, const CodeMode& mode) {
  for (uint8_t i = 0; i < instruction.instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.instruction.operands[i];
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        mode.kind(segment_of(operand.mem.segment)) != SegmentKind::Flat) {
      return false;
    }
  }
  return true;
}

}  // namespace

// Does the usual mode's code do for this instruction? Operands in memory are seen to where they are
// prepared.
bool Emitter::is_as_usual(const UnitInstruction& instruction) const {
  const CodeMode& mode = unit_->key.mode;
  const bool is_wide = !instruction.has_narrow_operands && mode.limit == kNoLimit;
  switch (instruction.family) {
    case Family::Push:
    case Family::Pop:
    case Family::Leave:
    case Family::Call:
    case Family::Return:
    case Family::PushSelector:
    case Family::PushFlags:
    case Family::PopFlags:
      return is_wide && mode.has_plain_stack();
    case Family::Jump:
      return is_wide || is_immediate(instruction);
    case Family::LoadSegment:
      return !mode.has_real_selectors();
    case Family::LoadPointer:
    case Family::FarTransfer:
      return true;
    case Family::Lea:
      return !has_narrow_address(instruction) || instruction.has_narrow_operands;
    case Family::LoopBranch:
      return !has_narrow_address(instruction);
    case Family::String:
      return !has_narrow_address(instruction) && !mode.has_narrow_code() &&
             uses_flat_segments_only(instruction, mode);
    default:
      return true;
  }
}

void Emitter::emit_instruction_in_mode(const UnitInstruction& instruction) {
  switch (instruction.family) {
    case Family::Push:
    case Family::PushSelector:
      return emit_push_in_mode(instruction);
    case Family::Pop:
      return emit_pop_in_mode(instruction);
    case Family::PushFlags:
      return emit_push_flags(instruction);
    case Family::PopFlags:
      return emit_pop_flags(instruction);
    case Family::Leave:
      return emit_leave_in_mode(instruction);
    case Family::LoadSegment:
      return load_selector_in_mode(instruction);
    case Family::Jump:
      return emit_jump_in_mode(instruction);
    case Family::Call:
      return emit_call_in_mode(instruction);
    case Family::Return:
      return emit_return_in_mode(instruction);
    case Family::LoopBranch:
      return emit_narrow_loop(instruction);
    case Family::Lea:
      return emit_narrow_lea(instruction);
    case Family::String:
      return emit_string_apart(instruction);
    default:
      UNREACHABLE();
  }
}

// ---- addresses ----

// R8D := the operand's offset in its segment.
void Emitter::load_address_in_mode(const ZydisDecodedOperand& operand, bool narrow) {
  HostMemory form = effective_address_form(operand);
  const bool is_constant = !form.base && !form.index;
  if (narrow && is_constant) form.displacement &= 0xffff;
  if (narrow && form.base && !form.index && form.displacement == 0) {
    a_.movzx(host::address.r32(), x86::gpw(*form.base));
    return;
  }
  load_address(form);
  if (narrow && !is_constant) a_.movzx(host::address.r32(), host::address.r16());
}

// R9 is minus an offset, less one; R10 the limit plus one. Their sum is negative if `size` bytes
// there reach beyond, and then its uppermost byte is 255 steps to limit_guard; else 0.
void Emitter::check_limit(uint32_t size) {
  a_.lea(host::scratch, x86::ptr(host::scratch, host::scratch2, 0, 1 - static_cast<int32_t>(size)));
  a_.bswap(host::scratch);
  a_.movzx(host::scratch.r32(), host::scratch.r8());
  a_.mov(host::scratch.r32(), x86::dword_ptr(host::frame, host::scratch, 3, kLimitCheck));
}

// The offset in R8D less the first within: negative below it, as for check_limit.
void Emitter::check_floor(SegmentRegister segment) {
  a_.mov(host::scratch2, slot64(RINGSHIFT_SLOT(segment_floor_negated) +
                                static_cast<int32_t>(static_cast<size_t>(segment) * 8)));
  a_.mov(host::scratch.r32(), host::address.r32());
  a_.lea(host::scratch, x86::ptr(host::scratch, host::scratch2));
  a_.bswap(host::scratch);
  a_.movzx(host::scratch.r32(), host::scratch.r8());
  a_.mov(host::scratch.r32(), x86::dword_ptr(host::frame, host::scratch, 3, kLimitCheck));
}

// R8D: offset of `size` bytes in the segment -> their linear address. Faults, with nothing
// committed, if they are not within its limit: the instruction is then interpreted.
void Emitter::to_linear(SegmentRegister segment, uint32_t size, bool narrow) {
  const SegmentKind kind = unit_->key.mode.kind(segment);
  if (kind == SegmentKind::Flat) return;
  if (kind == SegmentKind::Large && narrow) {
    // Only what reaches over the end of 64 KiB can be beyond: its upper half is 1, or 256 steps. A
    // byte cannot be.
    if (size > 1) {
      a_.lea(host::scratch.r32(), x86::ptr(host::address, static_cast<int32_t>(size) - 1));
      a_.bswap(host::scratch.r32());
      a_.movzx(host::scratch.r32(), host::scratch.r16());
      a_.mov(host::scratch.r32(), x86::dword_ptr(host::frame, host::scratch, 3, kLimitCheck));
    }
  } else if (kind != SegmentKind::Based) {
    if (kind == SegmentKind::Down) check_floor(segment);
    a_.mov(host::scratch, host::address);
    a_.not_(host::scratch);
    a_.mov(host::scratch2, slot64(RINGSHIFT_SLOT(segment_room) +
                                  static_cast<int32_t>(static_cast<size_t>(segment) * 8)));
    check_limit(size);
  }
  a_.mov(host::scratch.r32(), slot32(field_of(segment, offsetof(SegmentCache, base))));
  a_.lea(host::address.r32(), x86::ptr(host::address, host::scratch));
}

// R8D: a destination, which has to lie within the code segment.
void Emitter::check_code_limit(bool narrow) {
  const uint32_t limit = unit_->key.mode.limit;
  if (limit == kNoLimit || (narrow && limit >= 0xffff)) return;
  a_.mov(host::scratch, host::address);
  a_.not_(host::scratch);
  a_.mov(host::scratch2.r32(), limit);
  check_limit(0);
}

// R8D: linear address -> the host operand.
x86::Mem Emitter::reach(const UnitInstruction& instruction, bool is_write, uint32_t size) {
  if (instruction.style == AccessStyle::Window) {
    return x86::Mem(host::window, host::address, 0, 0, size);
  }
  call_soft(is_write, size);
  return x86::Mem(host::address, 0, size);
}

x86::Mem Emitter::stack_slot_in_mode(const UnitInstruction& instruction, bool is_push,
                                     uint32_t size) {
  return stack_slot_at(instruction, is_push ? -static_cast<int32_t>(size) : 0, is_push, size);
}

// `size` bytes, so far from ESP.
x86::Mem Emitter::stack_slot_at(const UnitInstruction& instruction, int32_t from_esp, bool is_push,
                                uint32_t size) {
  const bool narrow = unit_->key.mode.has_narrow_stack();
  if (from_esp != 0) {
    a_.lea(host::address.r32(), x86::ptr(host::guest_esp, from_esp));
    if (narrow) a_.movzx(host::address.r32(), host::address.r16());
  } else if (narrow) {
    a_.movzx(host::address.r32(), host::guest_esp.r16());
  } else {
    a_.mov(host::address.r32(), host::guest_esp.r32());
  }
  to_linear(SegmentRegister::Ss, size, narrow);
  return reach(instruction, is_push, size);
}

void Emitter::move_stack_pointer(int32_t by) {
  if (!unit_->key.mode.has_narrow_stack()) {
    a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, by));
    return;
  }
  a_.lea(host::scratch.r32(), x86::ptr(host::guest_esp, by));
  a_.mov(host::guest_esp.r16(), host::scratch.r16());
}

// ---- stack ----

void Emitter::emit_push_in_mode(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  const uint32_t size = operand_bytes(instruction);
  if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    const HostMemory memory = prepare_memory(instruction, operand, true);
    x86::Mem source = memory.index ? x86::ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                   : x86::ptr(x86::gpq(*memory.base));
    source.setSize(size);
    a_.mov(sized(host::scratch.id(), size), source);
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
    return push_scratch(instruction, size);
  }
  const x86::Mem slot = stack_slot_in_mode(instruction, true, size);
  if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    a_.mov(slot, static_cast<int32_t>(operand.imm.value.s));
  } else if (instruction.family == Family::PushSelector) {
    a_.movzx(host::scratch.r32(),
             x86::word_ptr(host::frame, field_of(segment_of(operand.reg.value),
                                                 offsetof(SegmentCache, selector))));
    a_.mov(slot, sized(host::scratch.id(), size));
  } else {
    a_.mov(slot, sized(host_number(operand.reg.value), size));
  }
  move_stack_pointer(-static_cast<int32_t>(size));
}

// Pushes the value in Slots::scratch.
void Emitter::push_scratch(const UnitInstruction& instruction, uint32_t size) {
  const x86::Mem slot = stack_slot_in_mode(instruction, true, size);
  a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(scratch)));
  a_.mov(slot, sized(host::scratch.id(), size));
  move_stack_pointer(-static_cast<int32_t>(size));
}

void Emitter::push_eip_in_mode(const UnitInstruction& instruction) {
  const uint32_t size = operand_bytes(instruction);
  const uint32_t eip = instruction.next_eip().value();
  a_.mov(
      stack_slot_in_mode(instruction, true, size),
      size == kWord ? static_cast<int32_t>(static_cast<int16_t>(eip)) : static_cast<int32_t>(eip));
  move_stack_pointer(-static_cast<int32_t>(size));
}

void Emitter::emit_pop_in_mode(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  const uint32_t size = operand_bytes(instruction);
  const x86::Mem slot = stack_slot_in_mode(instruction, false, size);
  if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    a_.mov(sized(host_number(operand.reg.value), size), slot);
    return move_stack_pointer(static_cast<int32_t>(size));
  }
  a_.mov(sized(host::scratch.id(), size), slot);
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  const HostMemory memory = prepare_memory(instruction, operand, true);
  x86::Mem destination = memory.index ? x86::ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                      : x86::ptr(x86::gpq(*memory.base));
  destination.setSize(size);
  a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(scratch)));
  a_.mov(destination, sized(host::scratch.id(), size));
  move_stack_pointer(static_cast<int32_t>(size));
}

// The slot of an instruction that may be the usual mode's or not, and how many bytes it is.
Emitter::StackSlot Emitter::stack_slot(const UnitInstruction& instruction, bool is_push) {
  if (!unit_->key.mode.is_flat() && !is_as_usual(instruction)) {
    const uint32_t size = operand_bytes(instruction);
    return {stack_slot_in_mode(instruction, is_push, size), size};
  }
  return {is_push ? stack_slot_for_push(instruction.style) : stack_slot_for_pop(instruction.style),
          kDoubleWord};
}

void Emitter::emit_leave_in_mode(const UnitInstruction& instruction) {
  const bool narrow = unit_->key.mode.has_narrow_stack();
  const uint32_t size = operand_bytes(instruction);
  if (narrow) {
    a_.movzx(host::address.r32(), x86::bp);
  } else {
    a_.mov(host::address.r32(), x86::ebp);
  }
  to_linear(SegmentRegister::Ss, size, narrow);
  const x86::Mem slot = reach(instruction, false, size);
  a_.mov(sized(host::scratch.id(), size), slot);
  a_.lea(host::scratch2.r32(), x86::ptr(x86::rbp, static_cast<int32_t>(size)));
  a_.mov(narrow ? x86::Gp(host::guest_esp.r16()) : x86::Gp(host::guest_esp.r32()),
         narrow ? x86::Gp(host::scratch2.r16()) : x86::Gp(host::scratch2.r32()));
  a_.mov(size == kWord ? x86::Gp(x86::bp) : x86::Gp(x86::ebp), sized(host::scratch.id(), size));
}

// MOV or POP to a data segment register where selectors are bases.
void Emitter::load_selector_in_mode(const UnitInstruction& instruction) {
  const SegmentRegister segment = segment_of(instruction.instruction.operands[0].reg.value);
  const bool is_pop = instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_POP;
  if (is_pop) {
    a_.movzx(host::address.r32(), stack_slot_in_mode(instruction, false, kWord));
  } else {
    load_selector(instruction);
  }
  store_selector(segment, host::address);
  if (is_pop) move_stack_pointer(kWord);
}

// Where a selector is a base. It is zero-extended, and lost.
void Emitter::store_selector(SegmentRegister segment, const Gp& selector) {
  a_.mov(x86::word_ptr(host::frame, field_of(segment, offsetof(SegmentCache, selector))),
         selector.r16());
  a_.lea(selector.r32(), x86::ptr(0, selector, 3));
  a_.lea(selector.r32(), x86::ptr(selector, selector));
  a_.mov(slot32(field_of(segment, offsetof(SegmentCache, base))), selector.r32());
}

// LDS, LES, LFS, LGS there, of 16 bits: both parts are read before either is stored.
void Emitter::emit_load_pointer(const UnitInstruction& instruction) {
  const auto& operands = instruction.instruction.operands;
  const HostMemory memory = prepare_memory(instruction, operands[1], true);
  x86::Mem offset = memory.index ? x86::ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                 : x86::ptr(x86::gpq(*memory.base));
  offset.setSize(kWord);
  x86::Mem selector = offset;
  selector.addOffset(kWord);
  a_.movzx(host::scratch.r32(), offset);
  const SegmentRegister segment = pointer_segment(instruction.instruction.facts.mnemonic);
  const x86::Gp destination = x86::gpw(host_number(operands[0].reg.value));
  if (unit_->key.mode.has_real_selectors()) {
    a_.movzx(host::scratch2.r32(), selector);
    store_selector(segment, host::scratch2);
    a_.mov(destination, host::scratch.r16());
    return;
  }
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  a_.movzx(host::address.r32(), selector);
  load_by_descriptor(instruction, segment, false);
  // A callout has loaded the same, and leaves the slot as it is.
  a_.mov(destination, x86::word_ptr(host::frame, RINGSHIFT_SLOT(scratch)));
}

// ---- branches ----

// R8D := the EIP that a register or memory operand holds, within the code segment.
void Emitter::load_target(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  const bool narrow = instruction.has_narrow_operands;
  if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const unsigned number = host_number(operand.reg.value);
    if (narrow) {
      a_.movzx(host::address.r32(), x86::gpw(number));
    } else {
      a_.mov(host::address.r32(), x86::gpd(number));
    }
    return check_code_limit(narrow);
  }
  const HostMemory memory = prepare_memory(instruction, operand, true);
  x86::Mem source = memory.index ? x86::ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                 : x86::ptr(x86::gpq(*memory.base));
  source.setSize(operand_bytes(instruction));
  if (narrow) {
    a_.movzx(host::address.r32(), source);
  } else {
    a_.mov(host::address.r32(), source);
  }
  check_code_limit(narrow);
}

void Emitter::emit_jump_in_mode(const UnitInstruction& instruction) {
  load_target(instruction);
  jump_to_stub(stubs_.dispatch);
}

void Emitter::emit_call_in_mode(const UnitInstruction& instruction) {
  if (is_immediate(instruction)) {
    const Eip destination = branch_destination(instruction);
    push_eip_in_mode(instruction);
    mark(destination);  // the host's CALL itself faults when the return stack is full
    emit_link(0xe8, 1, destination);
    return emit_return_point(instruction);
  }
  load_target(instruction);
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::address.r32());
  push_eip_in_mode(instruction);
  a_.mov(host::address.r32(), slot32(RINGSHIFT_SLOT(scratch)));
  mark(Eip(0), RecoveryKind::EipInAddress);
  call_stub(stubs_.dispatch);
  emit_return_point(instruction);
}

void Emitter::emit_return_in_mode(const UnitInstruction& instruction) {
  const uint32_t size = operand_bytes(instruction);
  uint32_t released = size;
  if (is_immediate(instruction)) {
    released += static_cast<uint32_t>(instruction.instruction.operands[0].imm.value.u & 0xffffU);
  }
  const x86::Mem slot = stack_slot_in_mode(instruction, false, size);
  if (size == kWord) {
    a_.movzx(host::address.r32(), slot);
  } else {
    a_.mov(host::address.r32(), slot);
  }
  check_code_limit(size == kWord);
  move_stack_pointer(static_cast<int32_t>(released));
  a_.ret();
}

// LOOP, LOOPE, LOOPNE and JCXZ by CX, whose upper half stays.
void Emitter::emit_narrow_loop(const UnitInstruction& instruction) {
  const Eip destination = branch_destination(instruction);
  const unsigned opcode = instruction.instruction.facts.opcode;
  const bool is_jcxz = opcode == 0xe3;
  Label zero = a_.newLabel();
  Label ends = a_.newLabel();
  if (!is_jcxz) {
    a_.lea(host::scratch.r32(), x86::ptr(x86::rcx, -1));
    a_.mov(x86::cx, host::scratch.r16());
    if (opcode == 0xe0) a_.short_().je(ends);
    if (opcode == 0xe1) a_.short_().jne(ends);
  }
  a_.mov(host::saved_rcx, x86::rcx);
  a_.movzx(x86::ecx, x86::cx);
  a_.jecxz(x86::ecx, zero);
  a_.mov(x86::rcx, host::saved_rcx);
  const Eip while_not_zero = is_jcxz ? instruction.next_eip() : destination;
  const Eip at_zero = is_jcxz ? destination : instruction.next_eip();
  mark(while_not_zero);
  jump_link(while_not_zero);
  a_.bind(zero);
  mark(at_zero);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.bind(ends);
  jump_link(at_zero);
}

// A 32-bit register takes the offset with zeros above.
void Emitter::emit_narrow_lea(const UnitInstruction& instruction) {
  const auto& operands = instruction.instruction.operands;
  load_address_in_mode(operands[1], true);
  a_.mov(x86::gpd(host_number(operands[0].reg.value)), host::address.r32());
}

}  // namespace ringshift

// Far JMP, CALL and RET that stay in their ring: the stubs find where the same one has led before
// and check that it would lead there again; anything else is the interpreter's, with nothing
// committed.
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
constexpr int32_t kSelectorInScratch = 4;  // behind the offset, in Slots::scratch

bool is_far_return(const UnitInstruction& instruction) {
  return instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_RET;
}

x86::Mem selector_of_cs() {
  return x86::word_ptr(
      host::frame,
      RINGSHIFT_STATE(segment) +
          static_cast<int32_t>(static_cast<size_t>(SegmentRegister::Cs) * sizeof(SegmentCache) +
                               offsetof(SegmentCache, selector)));
}

x86::Gp sized(const x86::Gp& reg, uint32_t size) {
  return size == kWord ? x86::Gp(reg.r16()) : x86::Gp(reg.r32());
}

}  // namespace

void Emitter::emit_far_transfer(const UnitInstruction& instruction) {
  const CodeMode& mode = unit_->key.mode;
  const bool is_return = is_far_return(instruction);
  const bool is_call = instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_CALL;
  const uint32_t size = instruction.has_narrow_operands ? kWord : kDoubleWord;
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  if (!is_return && operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
      instruction.style == AccessStyle::Soft && size != kWord) {
    return emit_interpret(instruction);  // six bytes have no soft stub
  }
  if (is_return) {
    pop_far_pointer(instruction, size);
  } else {
    load_far_pointer(instruction, size);
  }
  store_eip(RINGSHIFT_SLOT(exit_eip), instruction.eip);
  a_.mov(host::address.r32(), slot32(RINGSHIFT_SLOT(scratch)));
  a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(scratch) + kSelectorInScratch));
  a_.mov(host::scratch2, far_tag(mode, unit_->key.privilege, is_return));
  a_.lea(host::scratch2, x86::ptr(host::scratch2, host::scratch));
  call_stub(stubs_.far_find);
  if (!mode.has_real_selectors()) {
    load_descriptor_at(offsetof(Frame, far_targets), offsetof(FarTarget, address));
    call_stub(stubs_.far_verify);
  }
  if (is_call) push_far_return(instruction, size);
  if (is_return) {
    uint32_t released = 2 * size;
    if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
        instruction.instruction.facts.operand_count_visible != 0) {
      released += static_cast<uint32_t>(operand.imm.value.u & 0xffffU);
    }
    move_stack_pointer(static_cast<int32_t>(released));
  }
  jump_to_stub(mode.has_real_selectors() ? stubs_.far_enter_by_selector : stubs_.far_enter);
}

// Slots::scratch := the offset and the selector that the instruction, or its operand, holds.
void Emitter::load_far_pointer(const UnitInstruction& instruction, uint32_t size) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  if (operand.type == ZYDIS_OPERAND_TYPE_POINTER) {
    const uint32_t offset = size == kWord ? operand.ptr.offset & 0xffffU : operand.ptr.offset;
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), offset);
    a_.mov(slot32(RINGSHIFT_SLOT(scratch) + kSelectorInScratch), uint32_t{operand.ptr.segment});
    return;
  }
  const HostMemory memory = prepare_memory(instruction, operand, true);
  x86::Mem pointer = memory.index ? x86::ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                  : x86::ptr(x86::gpq(*memory.base));
  x86::Mem selector = pointer;
  selector.addOffset(size);
  selector.setSize(kWord);
  pointer.setSize(size);
  if (size == kWord) {
    a_.movzx(host::scratch.r32(), pointer);
  } else {
    a_.mov(host::scratch.r32(), pointer);
  }
  a_.movzx(host::scratch2.r32(), selector);
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  a_.mov(slot32(RINGSHIFT_SLOT(scratch) + kSelectorInScratch), host::scratch2.r32());
}

// The same from the stack. ESP moves when the destination is certain.
void Emitter::pop_far_pointer(const UnitInstruction& instruction, uint32_t size) {
  x86::Mem slot = stack_slot_at(instruction, 0, false, size);
  if (size == kWord) {
    a_.movzx(host::scratch.r32(), slot);
  } else {
    a_.mov(host::scratch.r32(), slot);
  }
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  slot = stack_slot_at(instruction, static_cast<int32_t>(size), false, size);
  slot.setSize(kWord);
  a_.movzx(host::scratch.r32(), slot);
  a_.mov(slot32(RINGSHIFT_SLOT(scratch) + kSelectorInScratch), host::scratch.r32());
}

void Emitter::push_far_return(const UnitInstruction& instruction, uint32_t size) {
  const auto step = static_cast<int32_t>(size);
  const uint32_t eip = instruction.next_eip().value();
  const x86::Mem of_selector = stack_slot_at(instruction, -step, true, size);
  a_.movzx(host::scratch.r32(), selector_of_cs());
  a_.mov(of_selector, sized(host::scratch, size));
  const x86::Mem of_eip = stack_slot_at(instruction, -2 * step, true, size);
  if (size == kWord) {
    a_.mov(of_eip, static_cast<int32_t>(static_cast<int16_t>(eip)));
  } else {
    a_.mov(of_eip, static_cast<int32_t>(eip));
    relocate(RelocationKind::EipPlain);
  }
  move_stack_pointer(-2 * step);
}

}  // namespace ringshift

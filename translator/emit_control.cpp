// Branches: links, polls, calls paired with returns.
#include "shadowmmu/base/check.h"
#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/event_rule.h"
#include "translator/exact_jumps.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;

// The load touches no flag and is all that noticing attention costs.
void Emitter::emit_poll() {
  a_.mov(host::scratch.r32(), slot32(frame_displacement(offsetof(Frame, poll_page))));
}

// The same for attention, and fewer events that the guest may pass. If the instruction faults
// behind it, its event is taken back, as the instruction will be done again (Gate::recover_at).
void Emitter::emit_event(const UnitInstruction& instruction, uint64_t events) {
  a_.movzx(host::scratch.r32(), x86::byte_ptr(host::event_walk));
  a_.lea(host::event_walk, x86::ptr(host::event_walk, -static_cast<int32_t>(events)));
  mark(instruction.eip, RecoveryKind::Counted);
}

// By event_rule, for instructions that are done here. The interpreter counts those that it does,
// and those that the emitters of branches leave to it.
bool Emitter::is_counted(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& operand = instruction.instruction.operands[0];
  switch (instruction.treatment) {
    case Treatment::DirectBranch:
      if (operand.type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return can_load(operand);
      return !goes_up_in_page(instruction.eip, branch_destination(instruction));
    case Treatment::IndirectBranch:
      return instruction.family == Family::Return || can_load(operand);
    case Treatment::Identical:
    case Treatment::Memory:
    case Treatment::Inline:
    case Treatment::Callout:
    case Treatment::Interpret:
      return false;
  }
  UNREACHABLE();
}

// The rule that every loop passes a poll rests on (T8): an instruction polls, before anything of it
// is committed, unless each step from it that needs no dispatcher goes up within its page. This
// includes the step to the instruction behind it, and holds for every link between translations.
// The dispatcher polls by itself. A repeated string instruction is a step to itself and polls where
// it is written.
bool Emitter::polls_first(const UnitInstruction& instruction) {
  const bool is_direct_branch = instruction.treatment == Treatment::DirectBranch;
  if (instruction.family == Family::Return) return !instruction.is_inlined;
  if (instruction.family == Family::FarTransfer) return true;
  // The step of an inlined call is to the instruction behind it.
  if (is_direct_branch && !instruction.is_inlined) {
    if (!goes_up_in_page(instruction.eip, branch_destination(instruction))) return true;
    if (instruction.family == Family::Jump || instruction.family == Family::Call) return false;
  }
  return !goes_up_in_page(instruction.eip, instruction.next_eip());
}

namespace {

// Do hosts make one operation of the two, if nothing comes between? Neither can fault.
bool fuses(const UnitInstruction& first, const UnitInstruction& branch) {
  if (first.treatment != Treatment::Identical || first.family != Family::Reencode) return false;
  if (branch.family != Family::JumpConditional || branch.eip != first.next_eip()) return false;
  switch (first.instruction.facts.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_DEC:
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_TEST:
      return branch.treatment == Treatment::DirectBranch;
    default:
      return false;
  }
}

}  // namespace

// A conditional jump polls before the instruction that it fuses with, if both are in the unit.
bool Emitter::polls_at(size_t index) const {
  const std::vector<UnitInstruction>& all = unit_->instructions;
  const UnitInstruction& instruction = all[index];
  if (index + 1 < all.size() && fuses(instruction, all[index + 1]) && polls_first(all[index + 1])) {
    return true;
  }
  return polls_first(instruction) && (index == 0 || !fuses(all[index - 1], instruction));
}

// Code that address spaces share: another page may be another frame in another space (T1).
bool Emitter::goes_through_table(Eip destination_eip) const {
  return !unit_->key.may_reach(destination_eip);
}

// A branch with a 32-bit displacement that links can patch. opcode_bytes: little-endian.
void Emitter::emit_link(unsigned opcode_bytes, unsigned opcode_length, Eip destination_eip) {
  for (unsigned i = 0; i < opcode_length; ++i) embed_byte((opcode_bytes >> (8 * i)) & 0xffU);
  EmittedLink link;
  link.patch_offset = offset();
  link.destination_eip = destination_eip;
  out_.links.push_back(link);
  embed32(0);
}

void Emitter::jump_link(Eip destination_eip) { emit_link(0xe9, 1, destination_eip); }

namespace {

bool is_direct(const UnitInstruction& instruction) {
  return instruction.instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

}  // namespace

// A direct jump is no code: what the unit goes on with, or its last link, comes next.
void Emitter::emit_jump(const UnitInstruction& instruction) {
  if (is_direct(instruction)) return;
  if (polls_for_table(instruction)) emit_poll();
  if (!load_operand(instruction, host::address)) return emit_interpret(instruction);
  if (!unit_jumps_exactly()) return jump_to_stub(stubs_.dispatch);
  find_exactly();
  a_.jmp(host::scratch);
}

bool Emitter::unit_jumps_exactly() const {
  return jumps_exactly(unit_->key) && !stubs_.counts_events;
}

// Without the dispatcher an indirect branch polls by itself, before anything is committed.
bool Emitter::polls_for_table(const UnitInstruction& instruction) const {
  return unit_jumps_exactly() && !polls_first(instruction);
}

// R9 := host address of the body for EIP in R8D, or of the stub for a miss.
void Emitter::find_exactly() {
  a_.mov(host::scratch, x86::qword_ptr(host::jump_table, kExactJumpsFromTable));
  for (const unsigned byte : {0x4cU, 0x8dU, 0x15U}) embed_byte(byte);  // lea r10, [the arena]
  embed32(static_cast<uint32_t>(stubs_.indirect_miss - (code_.baseAddress() + offset() + 4)));
  relocate(RelocationKind::ToStub);
  a_.mov(host::scratch.r32(), x86::dword_ptr(host::scratch, host::address, 2));
  a_.lea(host::scratch, x86::ptr(host::scratch, host::scratch2));
}

// To the unit's beginning, where what it asks for is known to be live. It is no link, so nothing
// can undo it while the fragment runs: only what runs without the monitor may go round so.
bool Emitter::may_loop_inside(Eip destination) const {
  return loop_ && destination == unit_->key.eip && !has_called_ && (x87_ensured_ || !loop_->x87) &&
         (sse_ensured_ || !loop_->sse);
}

void Emitter::emit_jump_conditional(const UnitInstruction& instruction) {
  const Eip destination = branch_destination(instruction);
  const unsigned condition = instruction.instruction.facts.opcode & 0xfU;
  if (may_loop_inside(destination)) {
    embed_byte(0x0f);
    embed_byte(0x80U | condition);
    return embed32(loop_->offset - (offset() + 4));
  }
  emit_link(0x0fU | ((0x80U | condition) << 8), 2, destination);
}

// JECXZ, LOOP, LOOPE, LOOPNE have only a short form: they jump over a jump.
void Emitter::emit_loop_branch(const UnitInstruction& instruction) {
  const Eip destination = branch_destination(instruction);
  constexpr unsigned kLongJump = 5;
  embed_byte(0x67);  // ECX, not RCX
  embed_byte(instruction.instruction.facts.opcode);
  embed_byte(kLongJump);
  mark(instruction.next_eip());
  jump_link(instruction.next_eip());
  mark(destination);
  jump_link(destination);
}

void Emitter::emit_call(const UnitInstruction& instruction) {
  const Eip return_eip = instruction.next_eip();
  if (instruction.is_inlined) return push_eip(instruction, return_eip);
  if (is_direct(instruction)) {
    const Eip destination = branch_destination(instruction);
    push_eip(instruction, return_eip);
    mark(destination);  // the host's CALL itself faults when the return stack is full
    emit_link(0xe8, 1, destination);
    return emit_return_point(instruction);
  }
  if (polls_for_table(instruction)) emit_poll();
  if (!load_operand(instruction, host::address)) return emit_interpret(instruction);
  if (instruction.style == AccessStyle::Soft) {
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::address.r32());
    push_eip(instruction, return_eip);
    a_.mov(host::address.r32(), slot32(RINGSHIFT_SLOT(scratch)));
  } else {
    push_eip(instruction, return_eip);
  }
  mark(Eip(0), RecoveryKind::EipInAddress);
  if (unit_jumps_exactly()) {
    find_exactly();
    a_.call(host::scratch);
  } else {
    call_stub(stubs_.dispatch);
  }
  emit_return_point(instruction);
}

// Where the host's RET lands, and the unit goes on if the guest has returned to it. It may have
// returned anywhere, so R8D is compared with the address this call expects; nothing is assumed
// about the guest's stack, nor of the FPU's state after what has run since.
void Emitter::emit_return_point(const UnitInstruction& call) {
  const Eip return_eip = call.next_eip();
  mark(return_eip, RecoveryKind::EipInAddress);
  if (call.guards_return) {
    check_return(kReturnFloor, return_eip);
    check_return(kReturnCeiling, return_eip);
  } else {
    Label matches = a_.newLabel();
    verify_address_is(return_eip, matches);
    jump_to_stub(stubs_.dispatch);
    a_.bind(matches);
    a_.mov(x86::rcx, host::saved_rcx);
  }
  mark(return_eip);
  x87_ensured_ = sse_ensured_ = false;
}

// mov r9d, [r13 + r8 + from_frame - return_eip], always with 32 bits of displacement.
void Emitter::check_return(int32_t from_frame, Eip return_eip) {
  for (const unsigned byte : {0x47U, 0x8bU, 0x8cU, 0x05U}) embed_byte(byte);
  embed32(static_cast<uint32_t>(from_frame) - return_eip.value());
  relocate(RelocationKind::EipNegated);
}

// The return of an inlined callee: its caller's address was pushed just before, and the unit goes
// on there.
void Emitter::emit_return(const UnitInstruction& instruction) {
  if (instruction.is_inlined) {
    a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, 4));
    return;
  }
  uint32_t released = 4;
  if (instruction.instruction.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    released += static_cast<uint32_t>(instruction.instruction.operands[0].imm.value.u & 0xffffU);
  }
  a_.mov(host::address.r32(), stack_slot_for_pop(instruction.style));
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, static_cast<int32_t>(released)));
  a_.ret();
}

}  // namespace ringshift

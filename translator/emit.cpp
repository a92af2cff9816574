#include "translator/emit.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/base/check.h"
#include "translator/classify.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;

namespace {

// The part of the FPU state that has to be live for the instruction.
FpuUse fpu_use_of(const UnitInstruction& instruction) {
  if (instruction.family == Family::Interpret || instruction.family == Family::Callout ||
      instruction.instruction.length == 0) {
    return FpuUse::None;
  }
  return fpu_use(instruction.instruction);
}

bool leads_to(const UnitInstruction& instruction, Eip eip) {
  return instruction.family == Family::JumpConditional &&
         instruction.treatment == Treatment::DirectBranch && branch_destination(instruction) == eip;
}

}  // namespace

void RefusedEncoding::handleError(Error /*error*/, const char* /*message*/,
                                  BaseEmitter* /*origin*/) {
  UNREACHABLE();
}

void Emitter::embed_byte(unsigned byte) {
  const auto value = static_cast<uint8_t>(byte);
  a_.embed(&value, 1);
}

void Emitter::embed32(uint32_t value) { a_.embed(&value, sizeof(value)); }

void Emitter::mark(Eip eip, RecoveryKind kind) { out_.recovery.push_back({offset(), eip, kind}); }

// Always with 32 bits of displacement, so that it can be relocated.
void Emitter::jump_to_stub(uint64_t stub) {
  a_.long_().jmp(imm(stub));
  relocate(RelocationKind::ToStub);
}

void Emitter::call_stub(uint64_t stub) {
  has_called_ = true;
  a_.call(imm(stub));
  relocate(RelocationKind::ToStub);
}

void Emitter::store_eip(int32_t slot, Eip eip) {
  a_.mov(slot32(slot), eip.value());
  relocate(RelocationKind::EipPlain);
}

const EmittedCode& Emitter::emit(const TranslationUnit& unit, CodeExecuteView at,
                                 uint32_t first_link) {
  unit_ = &unit;
  first_link_ = first_link;
  x87_ensured_ = sse_ensured_ = has_called_ = false;
  loop_.reset();
  out_.recovery.clear();
  out_.links.clear();
  out_.relocations.clear();
  out_.starts.clear();
  code_.reset();
  CHECK(code_.init(Environment::host(), at.address) == kErrorOk);
  code_.setErrorHandler(&refused_encoding_);
  CHECK(code_.attach(&a_) == kErrorOk);

  emit_indirect_entry();
  begin_fpu_loop();
  for (size_t i = 0; i < unit.instructions.size(); ++i) {
    const UnitInstruction& instruction = unit.instructions[i];
    out_.starts.push_back({offset(), static_cast<uint32_t>(out_.starts.size())});
    mark(instruction.eip);
    if (stubs_.counts_events) {
      if (is_counted(instruction)) emit_event(instruction);
    } else if (polls_at(i)) {
      emit_poll();
    }
    ensure_fpu(fpu_use_of(instruction), instruction.eip);
    emit_instruction(instruction);
  }
  const UnitInstruction& last = unit.instructions.back();
  if (!ends_unit(last)) {
    mark(unit.continues_at);
    jump_link(unit.continues_at);
  }
  emit_cold_stubs();
  finish(at);
  return out_;
}

// Reached through the jump table by the low 16 bits of EIP: verify the rest.
void Emitter::emit_indirect_entry() {
  out_.indirect_entry = 0;
  mark(Eip(0), RecoveryKind::EipInAddress);
  Label matches = a_.newLabel();
  verify_address_is(unit_->key.eip, matches);
  jump_to_stub(stubs_.indirect_miss);
  a_.bind(matches);
  a_.mov(x86::rcx, host::saved_rcx);
  out_.body = offset();
}

// Branches to `matches`, with RCX still saved, if R8D is `eip`; else falls through with RCX
// restored.
void Emitter::verify_address_is(Eip eip, const Label& matches) {
  a_.mov(host::saved_rcx, x86::rcx);
  a_.lea(x86::ecx, x86::ptr(host::address, static_cast<int32_t>(0U - eip.value())));
  relocate(RelocationKind::EipNegated);
  a_.jecxz(x86::ecx, matches);
  a_.mov(x86::rcx, host::saved_rcx);
}

// A loop that computes is most often one unit, whose last conditional jump leads to its beginning.
// The FPU state that it is sure to use is asked for before its first instruction then, and the jump
// leads behind that (emit_jump_conditional).
void Emitter::begin_fpu_loop() {
  const std::vector<UnitInstruction>& instructions = unit_->instructions;
  const bool is_loop =
      std::any_of(instructions.begin(), instructions.end(),
                  [this](const UnitInstruction& one) { return leads_to(one, unit_->key.eip); });
  if (!is_loop || unit_->key.style != AccessStyle::Window || !unit_->key.mode.is_flat()) return;
  if (stubs_.counts_events) return;
  mark(unit_->key.eip);
  for (const UnitInstruction& instruction : instructions) {
    ensure_fpu(fpu_use_of(instruction), unit_->key.eip);
    const bool goes_on =
        instruction.treatment == Treatment::Identical || instruction.treatment == Treatment::Memory;
    if (!goes_on) break;
  }
  if (!x87_ensured_ && !sse_ensured_) return;
  loop_ = FpuLoop{offset(), x87_ensured_, sse_ensured_};
}

// Leaves from `eip`, of which nothing is done yet, unless this state is live.
void Emitter::ensure_fpu(FpuUse use, Eip eip) {
  if (use == FpuUse::None) return;
  bool& ensured = use == FpuUse::X87 ? x87_ensured_ : sse_ensured_;
  if (ensured) return;
  ensured = true;
  Label missing = a_.newLabel();
  Label live = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  a_.mov(x86::ecx,
         slot32(use == FpuUse::X87 ? RINGSHIFT_SLOT(x87_live) : RINGSHIFT_SLOT(sse_live)));
  a_.jecxz(x86::ecx, missing);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.short_().jmp(live);
  a_.bind(missing);
  a_.mov(x86::rcx, host::saved_rcx);
  store_eip(RINGSHIFT_SLOT(exit_eip), eip);
  jump_to_stub(stubs_.ensure_fpu);
  a_.bind(live);
}

void Emitter::emit_instruction(const UnitInstruction& instruction) {
  if (!unit_->key.mode.is_flat() && !is_as_usual(instruction)) {
    return emit_instruction_in_mode(instruction);
  }
  switch (instruction.family) {
    case Family::Reencode:
      guard_divide(instruction);
      return emit_reencode(instruction);
    case Family::Lea:
      return emit_lea(instruction);
    case Family::Push:
      return emit_push(instruction);
    case Family::Pop:
      return emit_pop(instruction);
    case Family::Leave:
      return emit_leave(instruction);
    case Family::String:
      return emit_string(instruction);
    case Family::PushFlags:
      return emit_push_flags(instruction);
    case Family::PopFlags:
      return emit_pop_flags(instruction);
    case Family::InterruptFlag:
      return emit_interrupt_flag(instruction);
    case Family::ReadControl:
      return emit_read_control(instruction);
    case Family::WriteCr0:
      return emit_write_cr0(instruction);
    case Family::WriteCr2:
      return emit_write_cr2(instruction);
    case Family::ReadDebug:
      return emit_read_debug(instruction);
    case Family::WriteDebug:
      return emit_write_debug(instruction);
    case Family::ClearTaskSwitched:
      return emit_clear_task_switched();
    case Family::FlushCaches:
      return emit_flush_caches();
    case Family::LoadTable:
      return emit_load_table(instruction);
    case Family::ReadSelector:
      return emit_read_selector(instruction);
    case Family::PushSelector:
      return emit_push_selector(instruction);
    case Family::LoadSegment:
      return emit_load_segment(instruction);
    case Family::LoadPointer:
      return emit_load_pointer(instruction);
    case Family::FarTransfer:
      return emit_far_transfer(instruction);
    case Family::ReadTime:
      return emit_read_time(instruction);
    case Family::Cpuid:
      return call_as_callout(instruction, stubs_.cpuid);
    case Family::Jump:
      return emit_jump(instruction);
    case Family::JumpConditional:
      return emit_jump_conditional(instruction);
    case Family::LoopBranch:
      return emit_loop_branch(instruction);
    case Family::Call:
      return emit_call(instruction);
    case Family::Return:
      return emit_return(instruction);
    case Family::Callout:
      return emit_callout(instruction);
    case Family::Interpret:
      return emit_interpret(instruction);
  }
  UNREACHABLE();
}

// One stub a link: store the link's number, leave; or through the jump table. Cold, so after the
// hot code.
void Emitter::emit_cold_stubs() {
  out_.cold = offset();
  for (size_t i = 0; i < out_.links.size(); ++i) {
    EmittedLink& link = out_.links[i];
    link.stub_offset = offset();
    mark(link.destination_eip);
    if (goes_through_table(link.destination_eip)) {
      a_.mov(host::address.r32(), link.destination_eip.value());
      relocate(RelocationKind::EipPlain);
      jump_to_stub(stubs_.dispatch);
      continue;
    }
    a_.mov(slot32(RINGSHIFT_SLOT(exit_link)), first_link_ + static_cast<uint32_t>(i));
    link.number_offset = offset() - 4;
    jump_to_stub(stubs_.unlinked);
  }
  a_.int3();  // running off the end is our bug and stops there
}

void Emitter::finish(CodeExecuteView at) {
  CHECK(code_.flatten() == kErrorOk && code_.resolveUnresolvedLinks() == kErrorOk);
  CHECK(code_.relocateToBase(at.address) == kErrorOk);
  const CodeBuffer& buffer = code_.textSection()->buffer();
  out_.bytes.assign(buffer.data(), buffer.data() + buffer.size());
  for (const EmittedLink& link : out_.links) {
    const uint32_t relative = link.stub_offset - (link.patch_offset + 4);
    std::memcpy(out_.bytes.data() + link.patch_offset, &relative, sizeof(relative));
  }
}

}  // namespace ringshift

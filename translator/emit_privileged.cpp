// Sensitive instructions as inline code: what Popek and Goldberg's theorem would have trap.
#include "translator/emit.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary

namespace {

// What the host's RFLAGS always holds at CPL 3 beside arithmetic flags and DF: IF and bit 1.
constexpr int32_t kHostFlagsConstant = 0x202;
// A POPF that changes any of these is for the interpreter.
constexpr uint32_t kRarePopFlags =
    kFlagTf | kFlagNt | kFlagRf | kFlagAc | kFlagVif | kFlagVip | kFlagId;
constexpr uint32_t kHostFlags = kFlagsArithmetic | kFlagDf;

}  // namespace

// The image is a sum of disjoint bit fields, and LEA adds without touching a flag.
void Emitter::emit_push_flags(const UnitInstruction& instruction) {
  x86::Mem slot = x86::dword_ptr(host::window, host::guest_esp, 0, -4);
  if (instruction.style == AccessStyle::Soft) {
    slot = stack_slot_for_push(instruction.style);  // in R8: not touched below
  }
  a_.pushfq();
  a_.pop(host::scratch);
  a_.mov(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(system_flags)));
  a_.lea(host::scratch.r32(), x86::ptr(host::scratch, host::scratch2, 0, -kHostFlagsConstant));
  a_.mov(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(interrupt_flag)));
  a_.lea(host::scratch.r32(), x86::ptr(host::scratch, host::scratch2));
  a_.mov(slot, host::scratch.r32());
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
}

// The arithmetic flags are about to be replaced, so the sequence may use them. The interpreter exit
// leaves them undefined: the vCPU loop runs that POPF before it looks at anything else.
void Emitter::emit_pop_flags(const UnitInstruction& instruction) {
  const bool user = unit_->key.privilege == Privilege::User;
  Label rare = a_.newLabel();
  Label usual = a_.newLabel();
  Label done = a_.newLabel();
  a_.mov(host::scratch.r32(), stack_slot_for_pop(instruction.style));
  a_.mov(host::scratch2.r32(), host::scratch.r32());
  a_.xor_(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(system_flags)));
  a_.test(host::scratch2.r32(), kRarePopFlags | (user ? 0U : kFlagIopl));
  a_.jnz(rare);
  if (user) {
    // With IOPL 3 user code may change IF; otherwise IF and IOPL stay as they are, silently.
    a_.test(slot32(RINGSHIFT_SLOT(system_flags)), kFlagIopl);
    a_.jz(usual);
  } else {
    a_.jmp(usual);
  }
  a_.bind(rare);
  emit_callout(instruction);
  a_.jmp(done);
  a_.bind(usual);
  mark(instruction.eip);
  a_.mov(host::scratch2.r32(), host::scratch.r32());
  a_.and_(host::scratch.r32(), kHostFlags);
  a_.push(host::scratch);
  if (!user) {
    a_.and_(host::scratch2.r32(), kFlagIf);
    a_.mov(slot32(RINGSHIFT_SLOT(interrupt_flag)), host::scratch2.r32());
    a_.and_(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(interrupt_waiting)));
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch2.r32());
  }
  a_.popfq();
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, 4));
  if (!user) {
    exit_event_window_if_not_zero(slot32(RINGSHIFT_SLOT(scratch)), instruction.next_eip(), false);
  }
  a_.bind(done);
}

void Emitter::exit_event_window_if_not_zero(const Mem& condition, uint32_t eip, bool shadow) {
  Label nothing = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  a_.mov(x86::ecx, condition);
  a_.jecxz(x86::ecx, nothing);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.mov(slot32(RINGSHIFT_SLOT(exit_eip)), eip);
  a_.mov(slot32(RINGSHIFT_SLOT(exit_link)), shadow ? 1U : 0U);
  a_.jmp(imm(stubs_.event_window));
  a_.bind(nothing);
  a_.mov(x86::rcx, host::saved_rcx);
}

void Emitter::emit_interrupt_flag(const UnitInstruction& instruction) {
  if (instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_CLI) {
    a_.mov(slot32(RINGSHIFT_SLOT(interrupt_flag)), 0U);
    return;
  }
  a_.mov(slot32(RINGSHIFT_SLOT(interrupt_flag)), kFlagIf);
  // A waiting interrupt gets in after the next instruction (SDM 3A 6.8.3).
  exit_event_window_if_not_zero(slot32(RINGSHIFT_SLOT(interrupt_waiting)), instruction.next_eip(),
                                true);
}

void Emitter::emit_read_control(const UnitInstruction& instruction) {
  int32_t source = 0;
  switch (instruction.instruction.operands[1].reg.value) {
    case ZYDIS_REGISTER_CR0:
      source = RINGSHIFT_STATE(cr0);
      break;
    case ZYDIS_REGISTER_CR2:
      source = RINGSHIFT_STATE(cr2);
      break;
    case ZYDIS_REGISTER_CR3:
      source = RINGSHIFT_STATE(cr3);
      break;
    case ZYDIS_REGISTER_CR4:
      source = RINGSHIFT_STATE(cr4);
      break;
    default:
      return emit_callout(instruction);
  }
  const unsigned number = static_cast<unsigned>(instruction.instruction.operands[0].reg.value) -
                          static_cast<unsigned>(ZYDIS_REGISTER_EAX);
  a_.mov(x86::gpd(host::of_guest(number)), slot32(source));
}

void Emitter::emit_read_selector(const UnitInstruction& instruction) {
  size_t segment = 0;
  switch (instruction.instruction.operands[1].reg.value) {
    case ZYDIS_REGISTER_ES:
      segment = 0;
      break;
    case ZYDIS_REGISTER_CS:
      segment = 1;
      break;
    case ZYDIS_REGISTER_SS:
      segment = 2;
      break;
    case ZYDIS_REGISTER_DS:
      segment = 3;
      break;
    case ZYDIS_REGISTER_FS:
      segment = 4;
      break;
    case ZYDIS_REGISTER_GS:
      segment = 5;
      break;
    default:
      return emit_callout(instruction);
  }
  const unsigned number = static_cast<unsigned>(instruction.instruction.operands[0].reg.value) -
                          static_cast<unsigned>(ZYDIS_REGISTER_EAX);
  a_.movzx(x86::gpd(host::of_guest(number)),
           x86::word_ptr(host::frame, RINGSHIFT_STATE(segment) +
                                          static_cast<int32_t>(segment * sizeof(SegmentCache)) +
                                          static_cast<int32_t>(offsetof(SegmentCache, selector))));
}

// The monitor does the instruction and comes back behind the call, unless the guest is to go on
// elsewhere. What the fragment knew of the FPU's state it knows no longer.
void Emitter::emit_callout(const UnitInstruction& instruction) {
  a_.mov(slot32(RINGSHIFT_SLOT(exit_eip)), instruction.eip);
  a_.mov(slot32(RINGSHIFT_SLOT(callout_next_eip)), instruction.next_eip());
  a_.call(imm(stubs_.callout));
  x87_ensured_ = sse_ensured_ = false;
}

// The monitor does the instruction, and the guest goes on wherever that leads.
void Emitter::emit_interpret(const UnitInstruction& instruction) {
  a_.mov(slot32(RINGSHIFT_SLOT(exit_eip)), instruction.eip);
  a_.jmp(imm(stubs_.interpret));
}

}  // namespace ringshift

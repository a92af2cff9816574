// Sensitive instructions as inline code: the ones that would trap by Popek and Goldberg's theorem.
#include <bit>
#include <optional>

#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/event_rule.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;
using host::slot64;

namespace {

// A POPF that changes any of these is for the interpreter.
constexpr uint32_t kRarePopFlags =
    kFlagTf | kFlagNt | kFlagRf | kFlagAc | kFlagVif | kFlagVip | kFlagId;

CalloutKind callout_kind(const GuestInstruction& instruction, const CodeMode& mode) {
  // Virtual-8086 mode has a check that those kinds leave out: IOPL.
  if (mode.is_virtual_8086()) return CalloutKind::Any;
  const ZydisMnemonic mnemonic = instruction.facts.mnemonic;
  if (mnemonic == ZYDIS_MNEMONIC_INT) return CalloutKind::SoftwareInterrupt;
  if (mnemonic == ZYDIS_MNEMONIC_IRET && mode.has_real_selectors()) {
    return CalloutKind::RealInterruptReturn;
  }
  if (!mode.is_flat()) return CalloutKind::Any;
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_IRETD:
      return CalloutKind::InterruptReturn;
    case ZYDIS_MNEMONIC_SYSENTER:
      return CalloutKind::SystemEnter;
    case ZYDIS_MNEMONIC_SYSEXIT:
      return CalloutKind::SystemExit;
    default:
      return CalloutKind::Any;
  }
}

x86::Mem selector_of(ZydisRegister reg) {
  const auto index = static_cast<int32_t>(segment_of(reg));
  return x86::word_ptr(host::frame, RINGSHIFT_STATE(segment) +
                                        index * static_cast<int32_t>(sizeof(SegmentCache)) +
                                        static_cast<int32_t>(offsetof(SegmentCache, selector)));
}

x86::Gp host_register_of(const ZydisDecodedOperand& operand) {
  const unsigned number =
      static_cast<unsigned>(operand.reg.value) - static_cast<unsigned>(ZYDIS_REGISTER_EAX);
  return x86::gpd(host::of_guest(number));
}

// IN or OUT, as a PortAccess; nothing: neither.
std::optional<uint32_t> port_access(const UnitInstruction& instruction) {
  const ZydisMnemonic mnemonic = instruction.instruction.facts.mnemonic;
  const bool is_out = mnemonic == ZYDIS_MNEMONIC_OUT;
  if (!is_out && mnemonic != ZYDIS_MNEMONIC_IN) return std::nullopt;
  const auto& operands = instruction.instruction.operands;
  const ZydisDecodedOperand& port = operands[is_out ? 0 : 1];
  uint32_t bits = operands[is_out ? 1 : 0].size / 8U;
  if (is_out) bits |= PortAccess::kOut;
  if (port.type == ZYDIS_OPERAND_TYPE_REGISTER) return bits | PortAccess::kByDx;
  return bits | static_cast<uint32_t>(port.imm.value.u & 0xffU) << PortAccess::kPortShift;
}

x86::Mem debug_register(const ZydisDecodedOperand& operand) {
  const auto number = static_cast<int32_t>(ZydisRegisterGetId(operand.reg.value));
  return slot32(RINGSHIFT_STATE(dr) + number * static_cast<int32_t>(sizeof(uint32_t)));
}

}  // namespace

// The image is a sum of disjoint bit fields, and LEA adds without touching a flag.
void Emitter::emit_push_flags(const UnitInstruction& instruction) {
  const StackSlot slot = stack_slot(instruction, true);  // R8, if any, is not touched below
  a_.pushfq();
  a_.pop(host::scratch);
  a_.mov(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(system_flags)));
  a_.lea(host::scratch.r32(),
         x86::ptr(host::scratch, host::scratch2, 0, -static_cast<int32_t>(kHostFlagsConstant)));
  a_.mov(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(interrupt_flag)));
  a_.lea(host::scratch.r32(), x86::ptr(host::scratch, host::scratch2));
  a_.mov(slot.memory,
         slot.bytes == 2 ? x86::Gp(host::scratch.r16()) : x86::Gp(host::scratch.r32()));
  move_stack_pointer(-static_cast<int32_t>(slot.bytes));
}

// The arithmetic flags are about to be replaced, so the sequence may use them. The interpreter exit
// leaves them undefined: the vCPU loop runs that POPF before it looks at anything else.
void Emitter::emit_pop_flags(const UnitInstruction& instruction) {
  const bool user = unit_->key.privilege == Privilege::User;
  Label rare = a_.newLabel();
  Label usual = a_.newLabel();
  Label done = a_.newLabel();
  const StackSlot slot = stack_slot(instruction, false);
  uint32_t rare_flags = kRarePopFlags | (user ? 0U : kFlagIopl);
  if (slot.bytes == 2) {
    a_.movzx(host::scratch.r32(), slot.memory);
    rare_flags &= 0xffffU;
  } else {
    a_.mov(host::scratch.r32(), slot.memory);
  }
  a_.mov(host::scratch2.r32(), host::scratch.r32());
  a_.xor_(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(system_flags)));
  a_.test(host::scratch2.r32(), rare_flags);
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
  a_.and_(host::scratch.r32(), kHostHeldFlags);
  a_.push(host::scratch);
  if (!user) {
    a_.and_(host::scratch2.r32(), kFlagIf);
    a_.mov(slot32(RINGSHIFT_SLOT(interrupt_flag)), host::scratch2.r32());
    a_.and_(host::scratch2.r32(), slot32(RINGSHIFT_SLOT(interrupt_waiting)));
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch2.r32());
  }
  a_.popfq();
  move_stack_pointer(static_cast<int32_t>(slot.bytes));
  if (!user) {
    exit_event_window_if_not_zero(slot32(RINGSHIFT_SLOT(scratch)), instruction.next_eip(), false);
  }
  a_.bind(done);
}

void Emitter::exit_event_window_if_not_zero(const Mem& condition, Eip eip, bool shadow) {
  Label nothing = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  a_.mov(x86::ecx, condition);
  a_.jecxz(x86::ecx, nothing);
  a_.mov(x86::rcx, host::saved_rcx);
  store_eip(RINGSHIFT_SLOT(exit_eip), eip);
  a_.mov(slot32(RINGSHIFT_SLOT(exit_link)), shadow ? 1U : 0U);
  jump_to_stub(stubs_.event_window);
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
  a_.mov(host_register_of(instruction.instruction.operands[0]), slot32(source));
}

// The stub stores what changes TS at most; anything else is its callout.
void Emitter::emit_write_cr0(const UnitInstruction& instruction) {
  a_.mov(host::address.r32(), host_register_of(instruction.instruction.operands[1]));
  call_as_callout(instruction, stubs_.write_cr0);
}

void Emitter::emit_write_cr2(const UnitInstruction& instruction) {
  a_.mov(slot32(RINGSHIFT_STATE(cr2)), host_register_of(instruction.instruction.operands[1]));
}

// Unless DR7.GD guards them.
void Emitter::emit_read_debug(const UnitInstruction& instruction) {
  store_eip(RINGSHIFT_SLOT(exit_eip), instruction.eip);
  call_stub(stubs_.check_debug);
  a_.mov(host_register_of(instruction.instruction.operands[0]),
         debug_register(instruction.instruction.operands[1]));
}

void Emitter::emit_write_debug(const UnitInstruction& instruction) {
  const auto& operands = instruction.instruction.operands;
  if (operands[0].reg.value == ZYDIS_REGISTER_DR7) {
    a_.mov(host::address.r32(), host_register_of(operands[1]));
    return call_as_callout(instruction, stubs_.write_dr7);
  }
  store_eip(RINGSHIFT_SLOT(exit_eip), instruction.eip);
  call_stub(stubs_.check_debug);
  a_.mov(debug_register(operands[0]), host_register_of(operands[1]));
}

void Emitter::emit_clear_task_switched() {
  call_stub(stubs_.clear_ts);
  x87_ensured_ = sse_ensured_ = false;
}

// The guest's caches are the host's, which are coherent.
void Emitter::emit_flush_caches() { a_.nop(); }

// LIDT and LGDT with 32-bit operands: nothing that we hold depends on the IDTR. Both parts are read
// before either is stored.
void Emitter::emit_load_table(const UnitInstruction& instruction) {
  if (instruction.style == AccessStyle::Soft) return emit_callout(instruction);
  const HostMemory memory = prepare_memory(instruction, instruction.instruction.operands[0], true);
  const x86::Gp base = x86::gpq(*memory.base);
  const x86::Gp index = x86::gpq(*memory.index);
  a_.movzx(host::scratch.r32(), x86::word_ptr(base, index));
  a_.mov(host::scratch2.r32(), x86::dword_ptr(base, index, 0, 2));
  if (instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_LGDT) {
    return call_as_callout(instruction, stubs_.load_gdt);
  }
  a_.mov(slot32(RINGSHIFT_STATE(idtr.limit)), host::scratch.r32());
  a_.mov(slot32(RINGSHIFT_STATE(idtr.base)), host::scratch2.r32());
}

void Emitter::emit_read_selector(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& destination = instruction.instruction.operands[0];
  const x86::Mem selector = selector_of(instruction.instruction.operands[1].reg.value);
  if (destination.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    const HostMemory memory = prepare_memory(instruction, destination, true);
    const x86::Mem operand = memory.index
                                 ? x86::word_ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                                 : x86::word_ptr(x86::gpq(*memory.base));
    a_.movzx(host::scratch.r32(), selector);
    a_.mov(operand, host::scratch.r16());
    return;
  }
  const unsigned number =
      host::of_guest(static_cast<unsigned>(ZydisRegisterGetId(destination.reg.value)));
  if (destination.size == 16) {
    a_.mov(x86::gpw(number), selector);
  } else {
    a_.movzx(x86::gpd(number), selector);
  }
}

// Processors since the Pentium Pro write only the low half of a 32-bit slot (SDM 2B PUSH).
void Emitter::emit_push_selector(const UnitInstruction& instruction) {
  if (instruction.instruction.facts.operand_width != 32) return emit_callout(instruction);
  x86::Mem slot = stack_slot_for_push(instruction.style);
  slot.setSize(2);
  a_.movzx(host::scratch.r32(), selector_of(instruction.instruction.operands[0].reg.value));
  a_.mov(slot, host::scratch.r16());
  a_.lea(host::guest_esp.r32(), x86::ptr(host::guest_esp, -4));
}

// The descriptor is read here, where a fault has its boundary; the rest is the stub's.
void Emitter::emit_load_segment(const UnitInstruction& instruction) {
  const bool is_pop = instruction.instruction.facts.mnemonic == ZYDIS_MNEMONIC_POP;
  if (is_pop) {
    pop_selector(instruction);
  } else {
    load_selector(instruction);
  }
  load_by_descriptor(instruction, segment_of(instruction.instruction.operands[0].reg.value),
                     is_pop);
}

// The selector is in R8D. Done, by the stub or by the callout, when what comes next runs.
void Emitter::load_by_descriptor(const UnitInstruction& instruction, SegmentRegister segment,
                                 bool is_pop) {
  const CodeMode& mode = unit_->key.mode;
  const bool is_user = unit_->key.privilege == Privilege::User;
  const bool is_fs_or_gs = segment == SegmentRegister::Fs || segment == SegmentRegister::Gs;
  // The usual mode's code does not know what FS and GS are.
  const bool is_for_kind = !mode.is_flat() || !is_fs_or_gs;
  a_.movzx(host::scratch.r32(), host::address.r8());
  a_.lea(host::scratch.r32(), x86::ptr(0, host::scratch, 3));
  load_descriptor_at(offsetof(Frame, descriptors), offsetof(LoadedDescriptor, address));
  if (is_for_kind && mode.kind(segment) != SegmentKind::Flat) {
    a_.lea(host::address.r32(),
           x86::ptr(host::address, static_cast<int32_t>(descriptor_tag(0, mode.kind(segment)))));
  }
  if (is_user) {
    a_.mov(host::saved_rcx.r32(), slot32(RINGSHIFT_SLOT(untold_descriptors)));
    a_.lea(host::address.r32(), x86::ptr(host::address, host::saved_rcx));
  }
  call_as_callout(instruction, stubs_.load_segment[static_cast<size_t>(segment)][is_pop ? 1 : 0]
                                                  [is_user ? 1 : 0][is_for_kind ? 1 : 0]);
}

// R8D := the selector on the stack, Slots::scratch := ESP behind it.
void Emitter::pop_selector(const UnitInstruction& instruction) {
  const CodeMode& mode = unit_->key.mode;
  const uint32_t size = instruction.has_narrow_operands ? 2 : 4;
  x86::Mem slot = mode.is_flat() ? stack_slot_for_pop(instruction.style)
                                 : stack_slot_in_mode(instruction, false, size);
  slot.setSize(2);
  a_.movzx(host::address.r32(), slot);
  a_.lea(host::scratch.r32(), x86::ptr(host::guest_esp, static_cast<int32_t>(size)));
  if (mode.has_narrow_stack()) {
    a_.mov(host::scratch2.r32(), host::guest_esp.r32());
    a_.mov(host::scratch2.r16(), host::scratch.r16());
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch2.r32());
  } else {
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  }
}

// R10 := the descriptor where this table's entry, whose index R9 has 8 times, says that it lies.
void Emitter::load_descriptor_at(size_t table, size_t member) {
  a_.mov(host::scratch2,
         x86::qword_ptr(host::frame, host::scratch, 3, frame_displacement(table + member)));
  a_.mov(host::scratch2, x86::qword_ptr(host::scratch2));
}

// R8D := the selector that a MOV's source operand holds.
void Emitter::load_selector(const UnitInstruction& instruction) {
  const ZydisDecodedOperand& source = instruction.instruction.operands[1];
  if (source.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const auto number = static_cast<unsigned>(ZydisRegisterGetId(source.reg.value));
    a_.movzx(host::address.r32(), x86::gpw(host::of_guest(number)));
    return;
  }
  const HostMemory memory = prepare_memory(instruction, source, true);
  const x86::Mem operand = memory.index
                               ? x86::word_ptr(x86::gpq(*memory.base), x86::gpq(*memory.index))
                               : x86::word_ptr(x86::gpq(*memory.base));
  a_.movzx(host::address.r32(), operand);
}

// The host's counter, or that of events, plus the guest's offset. Halves are joined and parted in
// memory, without a flag.
void Emitter::emit_read_time(const UnitInstruction& instruction) {
  Label done = a_.newLabel();
  if (unit_->key.privilege == Privilege::User) {
    Label allowed = a_.newLabel();
    a_.mov(host::saved_rcx, x86::rcx);
    a_.mov(x86::ecx, slot32(RINGSHIFT_SLOT(time_stamp_denied)));
    a_.jecxz(x86::ecx, allowed);
    a_.mov(x86::rcx, host::saved_rcx);
    emit_callout(instruction);
    a_.jmp(done);
    a_.bind(allowed);
    a_.mov(x86::rcx, host::saved_rcx);
  }
  if (stubs_.counts_events) {
    mark(instruction.eip);  // what a callout has left behind it is not so here
    emit_event(instruction, kEventsOfTimeRead);
    load_event_time();
  } else {
    a_.rdtsc();
    a_.mov(slot32(RINGSHIFT_SLOT(scratch)), x86::eax);
    a_.mov(slot32(RINGSHIFT_SLOT(scratch) + 4), x86::edx);
    a_.mov(host::scratch, slot64(RINGSHIFT_SLOT(scratch)));
    a_.mov(host::scratch2, slot64(RINGSHIFT_STATE(tsc_offset)));
    a_.lea(host::scratch, x86::ptr(host::scratch, host::scratch2));
  }
  a_.mov(slot64(RINGSHIFT_SLOT(scratch)), host::scratch);
  a_.mov(x86::eax, host::scratch.r32());
  a_.mov(x86::edx, slot32(RINGSHIFT_SLOT(scratch) + 4));
  a_.bind(done);
}

// R9 := the guest's time-stamp counter from the count of events, which is event_origin less the
// walk (EventCounter).
void Emitter::load_event_time() {
  a_.mov(host::scratch, host::event_walk);
  a_.not_(host::scratch);  // minus itself, less one
  a_.mov(host::scratch2, slot64(RINGSHIFT_SLOT(event_origin)));
  a_.lea(host::scratch, x86::ptr(host::scratch, host::scratch2, 0, 1));
  a_.mov(host::scratch2, slot64(RINGSHIFT_STATE(tsc_offset)));
  a_.lea(host::scratch, x86::ptr(host::scratch2, host::scratch,
                                 static_cast<uint32_t>(std::countr_zero(event_nanoseconds_))));
}

// A site that has divided by zero before (or one in soft style) looks at the divisor first, which
// saves the host's signal. Overflows still take it.
void Emitter::guard_divide(const UnitInstruction& instruction) {
  const ZydisMnemonic mnemonic = instruction.instruction.facts.mnemonic;
  if (mnemonic != ZYDIS_MNEMONIC_DIV && mnemonic != ZYDIS_MNEMONIC_IDIV) return;
  const ZydisDecodedOperand& divisor = instruction.instruction.operands[0];
  if (instruction.style != AccessStyle::Soft || divisor.type != ZYDIS_OPERAND_TYPE_REGISTER) return;
  const auto number = static_cast<unsigned>(ZydisRegisterGetId(divisor.reg.value));
  Label zero = a_.newLabel();
  Label divide = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  switch (divisor.size) {
    case 8:
      if (number >= 4) {
        a_.movzx(x86::ecx, x86::gpb_hi(number - 4));
      } else {
        a_.movzx(x86::ecx, x86::gpb_lo(number));
      }
      break;
    case 16:
      a_.movzx(x86::ecx, x86::gpw(host::of_guest(number)));
      break;
    default:
      a_.mov(x86::ecx, x86::gpd(host::of_guest(number)));
      break;
  }
  a_.jecxz(x86::ecx, zero);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.short_().jmp(divide);
  a_.bind(zero);
  a_.mov(x86::rcx, host::saved_rcx);
  emit_interpret(instruction);
  a_.bind(divide);
}

// Code at CPL 0 and in real mode uses ports without a check.
bool Emitter::may_use_ports() const {
  return unit_->key.privilege == Privilege::Supervisor && !unit_->key.mode.is_virtual_8086();
}

// The monitor does the instruction and comes back behind the call, unless the guest is to go on
// elsewhere. The fragment's knowledge of the FPU's state ends there.
void Emitter::emit_callout(const UnitInstruction& instruction) {
  if (instruction.reaches_device) {
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(CalloutKind::DeviceMemory));
  }
  if (const std::optional<uint32_t> access = port_access(instruction); access && may_use_ports()) {
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(CalloutKind::Port));
    a_.mov(slot32(RINGSHIFT_SLOT(exit_address)), *access);
  }
  call_as_callout(instruction, stubs_.callout);
}

// The stub is the callout, or may go on as one; what is loaded of the FPU is unknown afterwards.
void Emitter::call_as_callout(const UnitInstruction& instruction, uint64_t stub) {
  store_eip(RINGSHIFT_SLOT(exit_eip), instruction.eip);
  store_eip(RINGSHIFT_SLOT(callout_next_eip), instruction.next_eip());
  call_stub(stub);
  x87_ensured_ = sse_ensured_ = false;
}

// The monitor does the instruction, and the guest goes on wherever that leads.
void Emitter::emit_interpret(const UnitInstruction& instruction) {
  store_eip(RINGSHIFT_SLOT(exit_eip), instruction.eip);
  const CalloutKind kind = callout_kind(instruction.instruction, unit_->key.mode);
  const bool is_user = unit_->key.privilege == Privilege::User;
  if (kind == CalloutKind::SystemEnter && is_user) return jump_to_stub(stubs_.system_enter);
  if (kind == CalloutKind::SystemExit && !is_user) return jump_to_stub(stubs_.system_exit);
  if (kind != CalloutKind::Any) {
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(kind));
  }
  if (kind == CalloutKind::SoftwareInterrupt) {
    a_.mov(slot32(RINGSHIFT_SLOT(exit_address)),
           static_cast<uint32_t>(instruction.instruction.operands[0].imm.value.u & 0xffU));
    store_eip(RINGSHIFT_SLOT(callout_next_eip), instruction.next_eip());
  }
  jump_to_stub(stubs_.interpret);
}

}  // namespace ringshift

// String instructions at soft sites; and MOVS, CMPS, STOS, LODS and SCAS, once, through segments
// that are not flat, with 16-bit addresses or at soft sites: loads and stores of their own, since
// the host's would move its own registers.
#include "shadowmmu/base/check.h"
#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/frame.h"
#include "translator/host_registers.h"
#include "translator/stubs_soft.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;

namespace {

enum StringKind : unsigned { kMovs = 0xa4, kCmps = 0xa6, kStos = 0xaa, kLods = 0xac, kScas = 0xae };

unsigned kind_of(const UnitInstruction& instruction) {
  return instruction.instruction.facts.opcode & 0xfeU;
}

bool has_narrow_address(const UnitInstruction& instruction) {
  return instruction.instruction.facts.address_width == 16;
}

uint32_t element_bytes(const UnitInstruction& instruction) {
  if ((instruction.instruction.facts.opcode & 1U) == 0) return 1;
  return instruction.instruction.facts.operand_width == 16 ? 2 : 4;
}

x86::Gp sized(const x86::Gp& reg, uint32_t bytes) {
  switch (bytes) {
    case 1:
      return reg.r8();
    case 2:
      return reg.r16();
    default:
      return reg.r32();
  }
}

SegmentRegister source_segment(const UnitInstruction& instruction) {
  for (uint8_t i = 0; i < instruction.instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.instruction.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    if (operand.mem.base == ZYDIS_REGISTER_SI || operand.mem.base == ZYDIS_REGISTER_ESI) {
      return segment_of(operand.mem.segment);
    }
  }
  UNREACHABLE();
}

constexpr int32_t kTlb = frame_displacement(offsetof(Frame, supervisor_tlb));
constexpr int32_t kReadTag = kTlb + static_cast<int32_t>(offsetof(SoftTlbEntry, negated_read_page));
constexpr int32_t kWriteTag =
    kTlb + static_cast<int32_t>(offsetof(SoftTlbEntry, negated_write_page));
constexpr int32_t kAddend = kTlb + static_cast<int32_t>(offsetof(SoftTlbEntry, addend));

// to := bytes from this linear address to the end of its page.
void count_to_page_end(x86::Assembler& a, const x86::Gp& to, const x86::Gp& address) {
  a.mov(to.r32(), address.r32());
  a.or_(to.r32(), ~(kPageSize - 1));
  a.neg(to.r32());
}

// to := the addend of the page of this linear address. Destroys EAX and the flags.
void find_in_tlb(x86::Assembler& a, const x86::Gp& to, const x86::Gp& address, int32_t tag,
                 const Label& missing) {
  a.mov(x86::eax, address.r32());
  a.shr(x86::eax, 12);
  a.movzx(to.r32(), x86::al);
  a.shl(to.r32(), 4);
  a.neg(x86::eax);
  a.cmp(x86::eax, x86::dword_ptr(host::frame, to, 0, tag));
  a.jne(missing);
  a.mov(to, x86::qword_ptr(host::frame, to, 0, kAddend));
}

}  // namespace

// R8D := linear address of the element at (E)SI or ES:(E)DI.
void Emitter::load_string_address(const UnitInstruction& instruction, bool is_source,
                                  uint32_t size) {
  const bool narrow = has_narrow_address(instruction);
  const x86::Gp& reg = is_source ? x86::rsi : x86::rdi;
  if (narrow) {
    a_.movzx(host::address.r32(), reg.r16());
  } else {
    a_.mov(host::address.r32(), reg.r32());
  }
  to_linear(is_source ? source_segment(instruction) : SegmentRegister::Es, size, narrow);
}

void Emitter::emit_string_apart(const UnitInstruction& instruction) {
  const uint32_t size = element_bytes(instruction);
  const x86::Gp value = sized(host::scratch, size);
  const x86::Gp accumulator = sized(x86::rax, size);
  switch (kind_of(instruction)) {
    case kLods:
      load_string_address(instruction, true, size);
      a_.mov(accumulator, reach(instruction, false, size));
      break;
    case kStos:
      load_string_address(instruction, false, size);
      a_.mov(reach(instruction, true, size), accumulator);
      break;
    case kScas:
      load_string_address(instruction, false, size);
      a_.cmp(accumulator, reach(instruction, false, size));
      break;
    case kMovs:
    case kCmps: {
      const bool is_move = kind_of(instruction) == kMovs;
      load_string_address(instruction, true, size);
      a_.mov(value, reach(instruction, false, size));
      a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
      load_string_address(instruction, false, size);
      const x86::Mem destination = reach(instruction, is_move, size);
      a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(scratch)));
      if (is_move) {
        a_.mov(destination, value);
      } else {
        a_.cmp(value, destination);
      }
      break;
    }
    default:
      UNREACHABLE();
  }
  advance_string_registers(instruction, size);
}

// REP MOVS and REP STOS, of the supervisor's: memory is copied and cleared at the same few places
// for everybody, and these are soft once they have met a page that the window does not hold.
bool Emitter::may_repeat_apart(const UnitInstruction& instruction) const {
  const bool is_known = kind_of(instruction) == kMovs || kind_of(instruction) == kStos;
  return is_known && unit_->key.privilege == Privilege::Supervisor && !stubs_.counts_events;
}

// Upwards, as much at a time as lies in one page of either side. A page that is not in the TLB
// is a miss, as with any soft access; the monitor serves pages that can be served only in part, and
// all that is left. The flags are saved meanwhile, but not while bytes move. RAM does not fault
// there unless the host has lost it, and then the machine ends.
void Emitter::emit_repeat_apart(const UnitInstruction& instruction) {
  const bool is_move = kind_of(instruction) == kMovs;
  const uint32_t size = element_bytes(instruction);
  SoftStubEmitter flags(a_);
  Label again = a_.newLabel();
  Label nothing = a_.newLabel();
  Label some = a_.newLabel();
  Label missing = a_.newLabel();
  Label refused = a_.newLabel();
  Label callout = a_.newLabel();
  Label done = a_.newLabel();
  a_.bind(again);
  emit_poll();
  a_.jecxz(x86::ecx, nothing);
  a_.short_().jmp(some);
  a_.bind(nothing);
  a_.long_().jmp(done);
  a_.bind(some);
  flags.save_flags();
  a_.pushfq();
  a_.pop(x86::rax);
  a_.test(x86::eax, kFlagDf);
  a_.jnz(refused);
  count_to_page_end(a_, host::scratch, x86::rdi);
  if (is_move) {
    count_to_page_end(a_, host::scratch2, x86::rsi);
    a_.cmp(host::scratch2.r32(), host::scratch.r32());
    a_.cmovb(host::scratch.r32(), host::scratch2.r32());
  }
  if (size > 1) a_.shr(host::scratch.r32(), size / 2);
  a_.cmp(host::scratch.r32(), x86::ecx);
  a_.cmova(host::scratch.r32(), x86::ecx);
  a_.test(host::scratch.r32(), host::scratch.r32());
  a_.jz(refused);  // an element lies across the end
  a_.mov(host::address.r32(), x86::ecx);
  a_.sub(host::address.r32(), host::scratch.r32());
  a_.mov(slot32(RINGSHIFT_SLOT(scratch)), host::scratch.r32());
  find_in_tlb(a_, host::scratch, x86::rdi, kWriteTag, missing);
  if (is_move) find_in_tlb(a_, host::scratch2, x86::rsi, kReadTag, missing);
  flags.restore_flags();
  a_.mov(x86::ecx, slot32(RINGSHIFT_SLOT(scratch)));
  a_.lea(x86::rdi, x86::ptr(x86::rdi, host::scratch));
  if (is_move) a_.lea(x86::rsi, x86::ptr(x86::rsi, host::scratch2));
  if (size == 2) embed_byte(0x66);
  embed_byte(0xf3);
  embed_byte(instruction.instruction.facts.opcode);
  a_.not_(host::scratch);
  a_.lea(x86::edi, x86::ptr(x86::rdi, host::scratch, 0, 1));
  if (is_move) {
    a_.not_(host::scratch2);
    a_.lea(x86::esi, x86::ptr(x86::rsi, host::scratch2, 0, 1));
  }
  a_.mov(x86::ecx, host::address.r32());
  a_.jmp(again);
  a_.bind(missing);
  flags.restore_flags();
  if (is_move) {
    a_.mov(host::address.r32(), x86::esi);
    call_soft(false, 1);
  }
  a_.mov(host::address.r32(), x86::edi);
  call_soft(true, 1);
  a_.short_().jmp(callout);  // it is there, but not for all bytes
  a_.bind(refused);
  flags.restore_flags();
  a_.bind(callout);
  emit_callout(instruction);
  a_.bind(done);
}

// By the element's size, down if DF is set. The host's own STOS, on a slot of ours, says which way:
// asking for DF itself would cost the flags. Nothing here can fault.
void Emitter::advance_string_registers(const UnitInstruction& instruction, uint32_t size) {
  const unsigned kind = kind_of(instruction);
  a_.mov(host::scratch2, x86::rdi);
  a_.lea(x86::rdi, x86::ptr(host::frame, RINGSHIFT_SLOT(scratch)));
  a_.mov(host::scratch, x86::rdi);
  if (size == 2) embed_byte(0x66);
  embed_byte(size == 1 ? 0xaa : 0xab);
  a_.not_(host::scratch);
  a_.lea(host::scratch, x86::ptr(x86::rdi, host::scratch, 0, 1));
  a_.mov(x86::rdi, host::scratch2);
  const auto advance = [&](const x86::Gp& reg) {
    if (!has_narrow_address(instruction)) {
      a_.lea(reg.r32(), x86::ptr(reg, host::scratch));
      return;
    }
    a_.lea(host::scratch2.r32(), x86::ptr(reg, host::scratch));
    a_.mov(reg.r16(), host::scratch2.r16());
  };
  if (kind == kMovs || kind == kCmps || kind == kLods) advance(x86::rsi);
  if (kind != kLods) advance(x86::rdi);
}

}  // namespace ringshift

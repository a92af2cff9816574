// MOVS, CMPS, STOS, LODS and SCAS, once, through segments that are not flat, with 16-bit addresses
// or at soft sites: loads and stores of their own, since the host's would move its own registers.
#include "shadowmmu/base/check.h"
#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/frame.h"
#include "translator/host_registers.h"

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

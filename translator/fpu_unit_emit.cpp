#include "translator/fpu_unit_emit.h"

#include <cstddef>
#include <initializer_list>

#include "translator/classify.h"
#include "translator/fpu_unit.h"
#include "translator/significant_prefixes.h"

namespace ringshift {
namespace {

using Code = std::vector<uint8_t>;

void append(Code* code, std::initializer_list<unsigned> bytes) {
  for (const unsigned byte : bytes) code->push_back(static_cast<uint8_t>(byte));
}

// ModRM for [rbx + displacement]: RBX holds the frame throughout.
void append_frame_operand(Code* code, unsigned reg, size_t offset) {
  append(code, {0x83U | (reg << 3)});
  for (unsigned i = 0; i < 4; ++i) append(code, {static_cast<unsigned>(offset >> (8 * i)) & 0xffU});
}

void append_fx(Code* code, unsigned extension, size_t offset) {
  append(code, {0x0f, 0xae});
  append_frame_operand(code, extension, offset);
}

constexpr unsigned kFxsave = 0;
constexpr unsigned kFxrstor = 1;

// Guest register n is held in R8+n, so that no guest register is RSP, RBX or RDI; the implicit
// operands EAX, ECX and EDX are loaded as well.
void append_prologue(Code* code) {
  append(code, {0x53, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57});  // push rbx, r12..r15
  append(code, {0x48, 0x89, 0xfb});                                      // mov rbx, rdi
  append_fx(code, kFxsave, offsetof(FpuUnitFrame, host));
  append_fx(code, kFxrstor, offsetof(FpuUnitFrame, guest));
  append(code, {0x48, 0x8b});  // mov rdi, memory
  append_frame_operand(code, 7, offsetof(FpuUnitFrame, memory));
  for (unsigned i = 0; i < kGprCount; ++i) {  // mov r8d+i, gpr[i]
    append(code, {0x44, 0x8b});
    append_frame_operand(code, i, offsetof(FpuUnitFrame, gpr) + 4 * i);
  }
  for (unsigned i = 0; i < 3; ++i) {  // mov eax/ecx/edx, gpr[i]
    append(code, {0x8b});
    append_frame_operand(code, i, offsetof(FpuUnitFrame, gpr) + 4 * i);
  }
  append(code, {0xff});  // push eflags; popfq
  append_frame_operand(code, 6, offsetof(FpuUnitFrame, eflags));
  append(code, {0x9d});
}

// FXSAVE does not wait for pending x87 exceptions; FNCLEX clears them before the host's state
// returns.
void append_epilogue(Code* code) {
  append(code, {0x9c, 0x8f});  // pushfq; pop eflags
  append_frame_operand(code, 0, offsetof(FpuUnitFrame, eflags));
  for (unsigned i = 0; i < kGprCount; ++i) {
    append(code, {0x44, 0x89});
    append_frame_operand(code, i, offsetof(FpuUnitFrame, gpr) + 4 * i);
  }
  append(code, {0x89});
  append_frame_operand(code, 1, offsetof(FpuUnitFrame, ecx));
  append_fx(code, kFxsave, offsetof(FpuUnitFrame, guest));
  append(code, {0xdb, 0xe2});
  append_fx(code, kFxrstor, offsetof(FpuUnitFrame, host));
  append(code, {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5b, 0xc3});
}

struct RegisterUse {
  bool vector = false;      // MMX or XMM
  bool gpr_in_reg = false;  // ModRM.reg names a general register
  bool gpr_in_rm = false;
};

RegisterUse register_use(const GuestInstruction& instruction) {
  RegisterUse use;
  for (unsigned i = 0; i < instruction.facts.operand_count; ++i) {
    const ZydisDecodedOperand& operand = instruction.operands[i];
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    switch (ZydisRegisterGetClass(operand.reg.value)) {
      case ZYDIS_REGCLASS_MMX:
      case ZYDIS_REGCLASS_XMM:
        use.vector = true;
        break;
      case ZYDIS_REGCLASS_GPR8:
      case ZYDIS_REGCLASS_GPR16:
      case ZYDIS_REGCLASS_GPR32:
        if (operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG) use.gpr_in_reg = true;
        if (operand.encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM) use.gpr_in_rm = true;
        break;
      default:
        break;
    }
  }
  return use;
}

bool is_x87(const ZydisDecodedInstruction& facts) {
  return facts.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (facts.opcode & 0xf8U) == 0xd8;
}

// The masked stores write through RDI; they and everything that is not arithmetic on FPU registers
// are the caller's.
bool may_run(const GuestInstruction& instruction, const RegisterUse& use) {
  const ZydisDecodedInstruction& facts = instruction.facts;
  if (facts.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return false;
  if (facts.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || facts.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU) {
    return false;
  }
  return is_x87(facts) || facts.mnemonic == ZYDIS_MNEMONIC_EMMS ||
         ((use.vector || converts_to_integer(facts.mnemonic)) &&
          facts.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT);
}

void append_opcode(Code* code, const ZydisDecodedInstruction& facts) {
  if (facts.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) append(code, {0x0f});
  if (facts.opcode_map == ZYDIS_OPCODE_MAP_0F38) append(code, {0x38});
  if (facts.opcode_map == ZYDIS_OPCODE_MAP_0F3A) append(code, {0x3a});
  append(code, {facts.opcode});
}

// 66, F2 and F3 choose the instruction and stay; segment and address-size prefixes go, with the
// address they belonged to.
void append_prefixes(Code* code, const ZydisDecodedInstruction& facts) {
  if (is_x87(facts)) return;
  const SignificantPrefixes prefixes = significant_prefixes(facts);
  if (prefixes.repeat != 0) append(code, {prefixes.repeat});
  if (prefixes.operand_size) append(code, {0x66});
}

void append_instruction(Code* code, const ZydisDecodedInstruction& facts, const RegisterUse& use) {
  constexpr unsigned kRex = 0x40;
  constexpr unsigned kRdi = 7;
  append_prefixes(code, facts);
  const bool in_memory = facts.raw.modrm.mod != 3;
  const unsigned rex_r = use.gpr_in_reg ? 4U : 0U;
  const unsigned rex_b = use.gpr_in_rm && !in_memory ? 1U : 0U;
  if ((rex_r | rex_b) != 0) append(code, {kRex | rex_r | rex_b});
  append_opcode(code, facts);
  if ((facts.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0) {
    const unsigned reg = static_cast<unsigned>(facts.raw.modrm.reg) << 3;
    append(code, {in_memory ? (reg | kRdi) : (0xc0U | reg | facts.raw.modrm.rm)});
  }
  if (facts.raw.imm[0].size != 0) {
    append(code, {static_cast<unsigned>(facts.raw.imm[0].value.u) & 0xffU});
  }
}

}  // namespace

std::vector<uint8_t> emit_fpu_thunk(const GuestInstruction& instruction) {
  const RegisterUse use = register_use(instruction);
  Code code;
  if (!may_run(instruction, use)) return code;
  append_prologue(&code);
  append_instruction(&code, instruction.facts, use);
  append_epilogue(&code);
  return code;
}

}  // namespace ringshift

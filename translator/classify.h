// Classify: GuestInstruction -> Treatment and family, by the policy table treatment.def. Default is
// deny: an instruction set the table does not know is interpreted (V3). See docs/translator.md.
#pragma once

#include "translator/translation_unit.h"

namespace ringshift {

struct Classification {
  Treatment treatment = Treatment::Interpret;
  Family family = Family::Interpret;
};

// The optional parts that the guest's processor has. Instructions of the others are left to the
// interpreter, which raises #UD.
struct TranslatorFeatures {
  bool sse2_and_later = true;
  // For tools that count executions: inline sequences are replaced by calls to the interpreter.
  bool interpret_inline = false;
  // For tools that record a run: only the interpreter reads the clock.
  bool interpret_time = false;
  // BMI1: F3 0F BC is TZCNT rather than BSF with a prefix that says nothing.
  bool tzcnt = false;
  // The guest's TSC is the host's plus GuestState::tsc_offset.
  bool host_time_stamp = false;
  // Events are counted (translator/event_rule.h). Everything that depends on more than the
  // instruction and its address is then left out: inlined calls, units that go on in other pages,
  // STI without a step for the instruction in its shadow.
  bool counts_events = false;
  // Then: the guest's TSC is so many times their count plus GuestState::tsc_offset. Generated code
  // reads it if that is a scale of an address: 1, 2, 4 or 8.
  uint32_t event_nanoseconds = 0;
};

[[nodiscard]] Classification classify(const GuestInstruction& instruction, Privilege privilege,
                                      const TranslatorFeatures& features,
                                      const CodeMode& mode = {});

// classify_modes.cpp: the same for code that is not in the usual mode, of instructions that the
// policy table has as `listed` and the guest's processor knows.
[[nodiscard]] Classification classify_in_mode(const GuestInstruction& instruction,
                                              Classification listed, Privilege privilege,
                                              const CodeMode& mode);
// Is the operand size 16, going by code and prefix? (For branches it says how wide EIP is.)
[[nodiscard]] bool has_narrow_operands(const ZydisDecodedInstruction& facts, bool narrow_code);
// Does prefix 66 choose between 16 and 32 bits, or do nothing? To MMX and SSE it is something else.
[[nodiscard]] bool has_operand_size(const ZydisDecodedInstruction& facts);
// May LGDT or LIDT be done in generated code?
[[nodiscard]] bool loads_table_inline(const GuestInstruction& instruction, Privilege privilege,
                                      const CodeMode& mode);
// Does a load of this segment register change its selector and base, and nothing else?
[[nodiscard]] bool loads_by_selector(const CodeMode& mode, ZydisRegister reg);
[[nodiscard]] bool loads_by_selector(const CodeMode& mode, SegmentRegister segment);
// May a load of this segment register be done in generated code by its descriptor? It leaves the
// segment's kind, and so the mode, what it is.
[[nodiscard]] bool loads_by_descriptor(const CodeMode& mode, SegmentRegister segment);
// Is the selector of this far pointer right behind its offset? Addresses of 16 bits wrap.
[[nodiscard]] bool is_in_one_piece(const GuestInstruction& instruction,
                                   const ZydisDecodedOperand& pointer, const CodeMode& mode);
// The segment register that LDS, LES, LFS or LGS loads.
[[nodiscard]] SegmentRegister pointer_segment(ZydisMnemonic mnemonic);
// DS for no segment register.
[[nodiscard]] SegmentRegister segment_of(ZydisRegister reg);

// Is it of an instruction set that the guest's processor has? (Instructions that trap instead,
// CPUID, privileged and system instructions, count as had.)
[[nodiscard]] bool guest_processor_has(const ZydisDecodedInstruction& facts,
                                       const TranslatorFeatures& features);

// The segment that a segment register names, or that a memory operand is reached through.
[[nodiscard]] SegmentRegister segment_of(ZydisRegister reg);

// Does the instruction need the guest's x87/MMX or SSE state in the host's registers?
enum class FpuUse : uint8_t { None, X87, Sse };
[[nodiscard]] FpuUse fpu_use(const GuestInstruction& instruction);

// CVTSS2SI and its kind: from memory they name no XMM register, yet they round by MXCSR.
[[nodiscard]] bool converts_to_integer(ZydisMnemonic mnemonic);

// BSF and BSR to the guest, TZCNT and LZCNT to a host that has those: without the prefixes they do
// as the guest means.
[[nodiscard]] bool ignores_repeat(const ZydisDecodedInstruction& facts,
                                  const TranslatorFeatures& features);

// Does no instruction of its unit follow it?
[[nodiscard]] bool ends_unit(const UnitInstruction& instruction);

// The destination of a direct branch. Pre: treatment DirectBranch.
[[nodiscard]] Eip branch_destination(const UnitInstruction& instruction);

// The explicit memory operand, or null. Pre: at most one, as classify guarantees for Reencode.
[[nodiscard]] const ZydisDecodedOperand* memory_operand(const GuestInstruction& instruction);

}  // namespace ringshift

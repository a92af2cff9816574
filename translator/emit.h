// Emit: TranslationUnit -> EmittedCode. The only stage that writes host code; it decides nothing.
// Owns: the assembler and its buffers, reused from unit to unit. Families live in emit_*.cpp.
// Keeps: T4, T5. See docs/translator.md.
#pragma once

#include <asmjit/x86.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "translator/classify.h"
#include "translator/emitted_code.h"
#include "translator/reencode.h"
#include "translator/stubs.h"
#include "translator/translation_unit.h"

namespace ringshift {

// The assembler would skip what it cannot encode; that is our bug, so it stops here.
class RefusedEncoding final : public asmjit::ErrorHandler {
 public:
  void handleError(asmjit::Error error, const char* message, asmjit::BaseEmitter* origin) override;
};

class Emitter {
 public:
  // event_nanoseconds: TranslatorFeatures'.
  explicit Emitter(const Stubs& stubs, uint32_t event_nanoseconds = 0)
      : stubs_(stubs), event_nanoseconds_(event_nanoseconds) {}

  // at: where the code will run. Links are numbered from first_link. The result is valid until the
  // next call.
  const EmittedCode& emit(const TranslationUnit& unit, CodeExecuteView at, uint32_t first_link);

 private:
  using Gp = asmjit::x86::Gp;
  using Mem = asmjit::x86::Mem;

  // emit.cpp: the frame of a fragment.
  void emit_indirect_entry();
  void emit_instruction(const UnitInstruction& instruction);
  void emit_cold_stubs();
  void finish(CodeExecuteView at);
  void begin_fpu_loop();
  void ensure_fpu(FpuUse use, Eip eip);

  // emit_memory.cpp: operands, plain instructions, stack, strings.
  // Leaves the operand's address in R8 (and R9, R10 undefined) or in the returned form.
  HostMemory prepare_memory(const UnitInstruction& instruction, const ZydisDecodedOperand& operand,
                            bool force_address_register);
  HostMemory effective_address_form(const ZydisDecodedOperand& operand) const;
  void load_address(const HostMemory& form);
  void probe_segment(const UnitInstruction& instruction, const Mem& probe);
  void call_soft(bool is_write, uint32_t size);
  void emit_reencode(const UnitInstruction& instruction);
  void emit_with_swapped_high_byte(const UnitInstruction& instruction,
                                   const ZydisDecodedOperand& operand, unsigned reg);
  void emit_lea(const UnitInstruction& instruction);
  void emit_push(const UnitInstruction& instruction);
  void emit_pop(const UnitInstruction& instruction);
  void emit_pop_to_memory(const UnitInstruction& instruction);
  void emit_leave(const UnitInstruction& instruction);
  void emit_string(const UnitInstruction& instruction);
  void emit_string_once(const UnitInstruction& instruction);
  void emit_string_repeated(const UnitInstruction& instruction);
  void push_register(const UnitInstruction& instruction, Gp value);
  void push_constant(const UnitInstruction& instruction, uint32_t value);
  void push_eip(const UnitInstruction& instruction, Eip eip);
  // Prepares [ESP-4] (write) or [ESP] (read) and returns the host operand.
  Mem stack_slot_for_push(AccessStyle style);
  Mem stack_slot_for_pop(AccessStyle style);
  bool load_operand(const UnitInstruction& instruction, Gp destination);
  [[nodiscard]] static bool can_load(const ZydisDecodedOperand& operand);

  // emit_privileged.cpp: sensitive instructions as inline code.
  void emit_push_flags(const UnitInstruction& instruction);
  void emit_pop_flags(const UnitInstruction& instruction);
  void emit_interrupt_flag(const UnitInstruction& instruction);
  void emit_read_control(const UnitInstruction& instruction);
  void emit_write_cr0(const UnitInstruction& instruction);
  void emit_write_cr2(const UnitInstruction& instruction);
  void emit_read_debug(const UnitInstruction& instruction);
  void emit_write_debug(const UnitInstruction& instruction);
  void emit_clear_task_switched();
  void emit_flush_caches();
  void emit_load_table(const UnitInstruction& instruction);
  void emit_read_selector(const UnitInstruction& instruction);
  void emit_push_selector(const UnitInstruction& instruction);
  void emit_load_segment(const UnitInstruction& instruction);
  void load_by_descriptor(const UnitInstruction& instruction, SegmentRegister segment, bool is_pop);
  void load_selector(const UnitInstruction& instruction);
  void pop_selector(const UnitInstruction& instruction);
  void load_descriptor_at(size_t table, size_t member);
  void emit_read_time(const UnitInstruction& instruction);
  void load_event_time();
  void guard_divide(const UnitInstruction& instruction);
  void emit_interpret(const UnitInstruction& instruction);
  void emit_callout(const UnitInstruction& instruction);
  [[nodiscard]] bool may_use_ports() const;
  void call_as_callout(const UnitInstruction& instruction, uint64_t stub);
  void exit_event_window_if_not_zero(const Mem& condition, Eip eip, bool shadow);

  // emit_modes.cpp: code whose segments are not flat, and code of 16 bits.
  void emit_instruction_in_mode(const UnitInstruction& instruction);
  [[nodiscard]] bool is_as_usual(const UnitInstruction& instruction) const;
  void load_address_in_mode(const ZydisDecodedOperand& operand, bool narrow);
  void to_linear(SegmentRegister segment, uint32_t size, bool narrow);
  void check_limit(uint32_t size);
  void check_floor(SegmentRegister segment);
  void check_code_limit(bool narrow);
  Mem reach(const UnitInstruction& instruction, bool is_write, uint32_t size);
  Mem stack_slot_in_mode(const UnitInstruction& instruction, bool is_push, uint32_t size);
  Mem stack_slot_at(const UnitInstruction& instruction, int32_t from_esp, bool is_push,
                    uint32_t size);
  void move_stack_pointer(int32_t by);
  struct StackSlot {
    Mem memory;
    uint32_t bytes;
  };
  StackSlot stack_slot(const UnitInstruction& instruction, bool is_push);
  void emit_push_in_mode(const UnitInstruction& instruction);
  void push_scratch(const UnitInstruction& instruction, uint32_t size);
  void push_eip_in_mode(const UnitInstruction& instruction);
  void emit_pop_in_mode(const UnitInstruction& instruction);
  void emit_leave_in_mode(const UnitInstruction& instruction);
  void load_selector_in_mode(const UnitInstruction& instruction);
  void store_selector(SegmentRegister segment, const Gp& selector);
  void emit_load_pointer(const UnitInstruction& instruction);
  void load_target(const UnitInstruction& instruction);
  void emit_jump_in_mode(const UnitInstruction& instruction);
  void emit_call_in_mode(const UnitInstruction& instruction);
  void emit_return_in_mode(const UnitInstruction& instruction);
  void emit_narrow_loop(const UnitInstruction& instruction);
  void emit_narrow_lea(const UnitInstruction& instruction);
  // emit_modes_string.cpp
  void emit_string_apart(const UnitInstruction& instruction);
  [[nodiscard]] bool may_repeat_apart(const UnitInstruction& instruction) const;
  void emit_repeat_apart(const UnitInstruction& instruction);
  void load_string_address(const UnitInstruction& instruction, bool is_source, uint32_t size);
  void advance_string_registers(const UnitInstruction& instruction, uint32_t size);

  // emit_far.cpp
  void emit_far_transfer(const UnitInstruction& instruction);
  void load_far_pointer(const UnitInstruction& instruction, uint32_t size);
  void pop_far_pointer(const UnitInstruction& instruction, uint32_t size);
  void push_far_return(const UnitInstruction& instruction, uint32_t size);

  // emit_control.cpp: branches.
  void emit_poll();
  void emit_event(const UnitInstruction& instruction, uint64_t events = 1);
  [[nodiscard]] static bool polls_first(const UnitInstruction& instruction);
  [[nodiscard]] bool polls_at(size_t index) const;
  [[nodiscard]] static bool is_counted(const UnitInstruction& instruction);
  // Whether a branch to this EIP goes through the jump table, whatever is there.
  [[nodiscard]] bool goes_through_table(Eip destination_eip) const;
  void emit_link(unsigned opcode_bytes, unsigned opcode_length, Eip destination_eip);
  void jump_link(Eip destination_eip);
  void emit_jump(const UnitInstruction& instruction);
  [[nodiscard]] bool may_loop_inside(Eip destination) const;
  void emit_jump_conditional(const UnitInstruction& instruction);
  void emit_loop_branch(const UnitInstruction& instruction);
  [[nodiscard]] bool unit_jumps_exactly() const;
  [[nodiscard]] bool polls_for_table(const UnitInstruction& instruction) const;
  void find_exactly();
  void emit_call(const UnitInstruction& instruction);
  void emit_return(const UnitInstruction& instruction);
  void emit_return_point(const UnitInstruction& call);
  void check_return(int32_t from_frame, Eip return_eip);
  void verify_address_is(Eip eip, const asmjit::Label& matches);

  void embed(const HostBytes& bytes) { a_.embed(bytes.bytes.data(), bytes.length); }
  void embed_byte(unsigned byte);
  void embed32(uint32_t value);
  // The last four bytes emitted.
  void relocate(RelocationKind kind) { out_.relocations.push_back({offset() - 4, kind}); }
  void jump_to_stub(uint64_t stub);
  void call_stub(uint64_t stub);
  void store_eip(int32_t slot, Eip eip);
  void mark(Eip eip, RecoveryKind kind = RecoveryKind::Boundary);
  [[nodiscard]] uint32_t offset() const { return static_cast<uint32_t>(a_.offset()); }

  const Stubs& stubs_;
  uint32_t event_nanoseconds_;
  const TranslationUnit* unit_ = nullptr;
  RefusedEncoding refused_encoding_;
  asmjit::CodeHolder code_;
  asmjit::x86::Assembler a_;
  EmittedCode out_;
  uint32_t first_link_ = 0;
  bool x87_ensured_ = false;
  bool sse_ensured_ = false;
  bool has_called_ = false;  // a stub, which may have come back from the monitor
  // Where a jump to the unit's own beginning may lead if this much is live.
  struct FpuLoop {
    uint32_t offset;
    bool x87, sse;
  };
  std::optional<FpuLoop> loop_;
};

}  // namespace ringshift

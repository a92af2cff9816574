#include "translator/stubs.h"

#include <asmjit/x86.h>

#include "shadowmmu/base/check.h"
#include "translator/exit.h"
#include "translator/frame.h"
#include "translator/host_registers.h"
#include "translator/stubs_soft.h"

namespace ringshift {
namespace {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;
using host::slot64;
using x86::dword_ptr;
using x86::qword_ptr;

constexpr int32_t kDr7 = RINGSHIFT_STATE(dr) + 7 * static_cast<int32_t>(sizeof(uint32_t));
constexpr uint32_t kDr7GeneralDetect = 1U << 13;

class StubEmitter {
 public:
  StubEmitter(CodeArena& arena, bool counts_events) : arena_(arena), counts_events_(counts_events) {
    CHECK(code_.init(Environment::host(), arena.base()) == kErrorOk);
    CHECK(code_.attach(&a_) == kErrorOk);
    leave_ = a_.newLabel();
    dispatch_ = a_.newLabel();
    enter_registers_ = a_.newLabel();
    leave_registers_ = a_.newLabel();
  }

  Stubs emit() {
    Stubs stubs;
    stubs.counts_events = counts_events_;
    // First of all, at arena offset 0: what an empty jump-table entry leads to.
    stubs.indirect_miss = here();
    a_.mov(slot32(RINGSHIFT_SLOT(exit_eip)), host::address.r32());
    leave_with(ExitReason::IndirectMiss);
    emit_dispatch(&stubs);
    emit_enter(&stubs);
    emit_leave(&stubs);
    stubs.unlinked = emit_exit(ExitReason::Unlinked);
    emit_callout(&stubs);
    emit_segment_loads(&stubs);
    emit_far_transfers(&stubs);
    stubs.cpuid = emit_cpuid(stubs.callout);
    stubs.system_enter = emit_ring_change(CalloutKind::SystemEnter, stubs);
    stubs.system_exit = emit_ring_change(CalloutKind::SystemExit, stubs);
    stubs.write_cr0 = emit_write_cr0(stubs.callout);
    stubs.clear_ts = emit_clear_ts();
    stubs.check_debug = emit_check_debug(stubs.interpret);
    stubs.write_dr7 = emit_write_dr7(stubs.callout);
    stubs.load_gdt = emit_load_gdt(stubs.callout);
    stubs.ensure_fpu = emit_exit(ExitReason::EnsureFpu);
    stubs.event_window = emit_exit(ExitReason::EventWindow);
    for (Privilege privilege : {Privilege::Supervisor, Privilege::User}) {
      for (bool is_write : {false, true}) {
        for (size_t i = 0; i < kSoftSizes.size(); ++i) {
          a_.align(AlignMode::kCode, 16);
          stubs.soft[static_cast<size_t>(privilege)][is_write ? 1 : 0][i] = here();
          emit_soft(privilege, is_write, kSoftSizes[i]);
        }
      }
    }
    stubs.end = here();
    publish();
    return stubs;
  }

 private:
  [[nodiscard]] uint64_t here() { return arena_.base() + a_.offset(); }
  [[nodiscard]] static x86::Mem state_gpr(size_t index) {
    return dword_ptr(host::frame,
                     RINGSHIFT_STATE(gpr) + static_cast<int32_t>(index * sizeof(uint32_t)));
  }

  void leave_with(ExitReason reason) {
    a_.mov(slot32(RINGSHIFT_SLOT(exit_reason)), static_cast<uint32_t>(reason));
    a_.jmp(leave_);
  }

  uint64_t emit_exit(ExitReason reason) {
    const uint64_t at = here();
    leave_with(reason);
    return at;
  }

  // Jumps to guest EIP in R8D through the jump table, touching no flag. The load from the poll
  // page is where an indirect branch notices attention: recovery finds EIP in R8D there.
  void emit_dispatch(Stubs* stubs) {
    a_.align(AlignMode::kCode, 16);
    // A return found the return stack empty: put the sentinel back, then go the long way.
    stubs->return_underflow = here();
    const int32_t self = static_cast<int32_t>(a_.offset());
    a_.lea(host::scratch, x86::ptr(x86::rip, self - static_cast<int32_t>(a_.offset()) - 7));
    a_.push(host::scratch);
    a_.bind(dispatch_);
    stubs->dispatch = here();
    if (!counts_events_) {
      a_.mov(host::scratch.r32(), slot32(frame_displacement(offsetof(Frame, poll_page))));
    }
    // jump_table_index, without flags: EIP plus eight times its upper half with bytes swapped.
    a_.mov(host::scratch.r32(), host::address.r32());
    a_.bswap(host::scratch.r32());
    a_.lea(host::scratch.r32(), x86::ptr(host::address, host::scratch, 3));
    a_.movzx(host::scratch.r32(), host::scratch.r16());
    if (counts_events_) {
      a_.mov(host::scratch2, slot64(RINGSHIFT_SLOT(jump_table)));
      a_.mov(host::scratch.r32(), dword_ptr(host::scratch2, host::scratch, 2));
    } else {
      a_.mov(host::scratch.r32(), dword_ptr(host::jump_table, host::scratch, 2));
    }
    a_.lea(host::scratch2, x86::ptr(x86::rip, -static_cast<int32_t>(a_.offset()) - 7));
    a_.lea(host::scratch2, x86::ptr(host::scratch2, host::scratch));
    a_.jmp(host::scratch2);
  }

  // void enter(Slots*): the monitor's registers go to its stack, the guest's come from the state.
  void emit_enter(Stubs* stubs) {
    a_.align(AlignMode::kCode, 16);
    stubs->enter = here();
    for (const x86::Gp& reg : {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15}) {
      a_.push(reg);
    }
    a_.sub(x86::rsp, 16);
    a_.stmxcsr(dword_ptr(x86::rsp));
    a_.fnstcw(x86::word_ptr(x86::rsp, 8));
    a_.mov(host::frame, x86::rdi);
    a_.mov(slot64(RINGSHIFT_SLOT(host_rsp)), x86::rsp);
    a_.bind(enter_registers_);
    load_fpu();
    a_.mov(host::window, slot64(RINGSHIFT_SLOT(window_base)));
    if (!counts_events_) a_.mov(host::jump_table, slot64(RINGSHIFT_SLOT(jump_table)));
    load_event_walk();
    load_guest_flags();
    a_.mov(x86::rsp, slot64(RINGSHIFT_SLOT(return_stack)));
    for (size_t i = 0; i < host::guest32.size(); ++i) a_.mov(host::guest32[i], state_gpr(i));
    a_.mov(host::address.r32(), slot32(RINGSHIFT_SLOT(exit_eip)));
    a_.jmp(slot64(RINGSHIFT_SLOT(enter_at)));
  }

  void load_event_walk() {
    if (counts_events_) a_.mov(host::event_walk, slot64(RINGSHIFT_SLOT(event_walk)));
  }

  void load_fpu() {
    Label no_fpu = a_.newLabel();
    a_.cmp(slot32(RINGSHIFT_SLOT(fpu_loaded)), 0);
    a_.je(no_fpu);
    a_.fxrstor(x86::ptr(host::frame, RINGSHIFT_STATE(fxsave), 512));
    // Signals and the C library leave values in the upper halves of the vector registers, with
    // which each legacy SSE instruction then merges its result: that doubled the time of a matrix
    // product.
    if (CpuInfo::host().features().x86().hasAVX()) a_.vzeroupper();
    a_.bind(no_fpu);
  }

  // The guest's registers to the state, the monitor's stack and control words in force.
  void store_guest() {
    for (size_t i = 0; i < host::guest32.size(); ++i) a_.mov(state_gpr(i), host::guest32[i]);
    if (counts_events_) a_.mov(slot64(RINGSHIFT_SLOT(event_walk)), host::event_walk);
    a_.mov(slot64(RINGSHIFT_SLOT(return_stack)), x86::rsp);
    a_.mov(x86::rsp, slot64(RINGSHIFT_SLOT(host_rsp)));
    a_.pushfq();
    a_.pop(slot64(RINGSHIFT_SLOT(host_flags)));
    a_.cld();
    Label no_fpu = a_.newLabel();
    a_.cmp(slot32(RINGSHIFT_SLOT(fpu_loaded)), 0);
    a_.je(no_fpu);
    a_.fxsave(x86::ptr(host::frame, RINGSHIFT_STATE(fxsave), 512));
    a_.fninit();
    a_.fldcw(x86::word_ptr(x86::rsp, 8));
    a_.ldmxcsr(dword_ptr(x86::rsp));
    a_.bind(no_fpu);
  }

  // Without POPF, which costs some twenty cycles, unless DF is set. Clobbers EAX, ECX and, with DF,
  // the top of the stack.
  void load_guest_flags() {
    Label usual = a_.newLabel();
    Label done = a_.newLabel();
    a_.mov(x86::ecx, slot32(RINGSHIFT_SLOT(host_flags)));
    a_.test(x86::ecx, kFlagDf);
    a_.jz(usual);
    a_.push(slot64(RINGSHIFT_SLOT(host_flags)));
    a_.popfq();
    a_.jmp(done);
    a_.bind(usual);
    a_.movzx(x86::eax, x86::cl);
    a_.shl(x86::eax, 8);
    a_.shr(x86::ecx, 11);  // OF
    a_.and_(x86::ecx, 1);
    a_.or_(x86::eax, x86::ecx);
    a_.add(x86::al, 0x7f);
    a_.sahf();
    a_.bind(done);
  }

  // The entry, of the table at this offset in the frame, whose index times 8 is in R9.
  [[nodiscard]] static x86::Mem entry64(size_t table, size_t member) {
    return qword_ptr(host::frame, host::scratch, 3, frame_displacement(table + member));
  }
  [[nodiscard]] static x86::Mem entry32(size_t table, size_t member) {
    return dword_ptr(host::frame, host::scratch, 3, frame_displacement(table + member));
  }
  [[nodiscard]] static x86::Mem descriptor64(size_t member) {
    return entry64(offsetof(Frame, descriptors), member);
  }
  [[nodiscard]] static x86::Mem descriptor32(size_t member) {
    return entry32(offsetof(Frame, descriptors), member);
  }
  [[nodiscard]] static x86::Mem far64(size_t member) {
    return entry64(offsetof(Frame, far_targets), member);
  }
  [[nodiscard]] static x86::Mem far32(size_t member) {
    return entry32(offsetof(Frame, far_targets), member);
  }
  [[nodiscard]] static int32_t cache_of(SegmentRegister segment) {
    return RINGSHIFT_STATE(segment) +
           static_cast<int32_t>(static_cast<size_t>(segment) * sizeof(SegmentCache));
  }
  [[nodiscard]] static x86::Mem room_of(SegmentRegister segment) {
    return slot64(RINGSHIFT_SLOT(segment_room) +
                  static_cast<int32_t>(static_cast<size_t>(segment) * sizeof(uint64_t)));
  }

  void emit_segment_loads(Stubs* stubs) {
    for (const SegmentRegister segment :
         {SegmentRegister::Es, SegmentRegister::Ds, SegmentRegister::Fs, SegmentRegister::Gs}) {
      for (const size_t is_pop : {0U, 1U}) {
        for (const size_t privilege : {0U, 1U}) {
          for (const size_t is_for_kind : {0U, 1U}) {
            const size_t tags = (is_for_kind != 0 ? offsetof(LoadedDescriptor, negated_tag)
                                                  : offsetof(LoadedDescriptor, negated_selector));
            stubs->load_segment[static_cast<size_t>(segment)][is_pop][privilege][is_for_kind] =
                emit_load_segment(segment, is_pop != 0, tags + privilege * sizeof(uint32_t),
                                  stubs->callout);
          }
        }
      }
    }
  }

  // The load is done here if its descriptor has been noted and is what it was; otherwise it is a
  // callout. Nothing is changed before that is decided. tag: the member that has to match.
  uint64_t emit_load_segment(SegmentRegister segment, bool is_pop, size_t tag, uint64_t callout) {
    const int32_t cache = cache_of(segment);
    Label same_tag = a_.newLabel();
    Label same_bytes = a_.newLabel();
    Label slow = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(host::saved_rcx, x86::rcx);
    a_.mov(x86::ecx, descriptor32(tag));
    a_.lea(x86::ecx, x86::ptr(x86::rcx, host::address));
    a_.jecxz(x86::ecx, same_tag);
    a_.bind(slow);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)),
           static_cast<uint32_t>(callout_kind_of_load(segment)));
    a_.jmp(imm(callout));
    a_.bind(same_tag);
    a_.mov(x86::rcx, descriptor64(offsetof(LoadedDescriptor, negated_bytes)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, host::scratch2));
    a_.jecxz(x86::rcx, same_bytes);
    a_.jmp(slow);
    a_.bind(same_bytes);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(host::scratch2, descriptor64(offsetof(LoadedDescriptor, cache)));
    a_.mov(slot64(cache), host::scratch2);
    a_.mov(host::scratch2.r32(), descriptor32(offsetof(LoadedDescriptor, cache) + 8));
    a_.mov(slot32(cache + 8), host::scratch2.r32());
    a_.mov(host::scratch2, descriptor64(offsetof(LoadedDescriptor, room)));
    a_.mov(room_of(segment), host::scratch2);
    if (segment == SegmentRegister::Fs || segment == SegmentRegister::Gs) {
      a_.mov(host::scratch2, descriptor64(offsetof(LoadedDescriptor, probe)));
      a_.mov(slot64(segment == SegmentRegister::Fs ? RINGSHIFT_SLOT(fs_probe)
                                                   : RINGSHIFT_SLOT(gs_probe)),
             host::scratch2);
    }
    if (is_pop) a_.mov(host::guest_esp.r32(), slot32(RINGSHIFT_SLOT(scratch)));
    a_.ret();
    return at;
  }

  void emit_far_transfers(Stubs* stubs) {
    stubs->far_find = emit_far_find(stubs->interpret);
    stubs->far_verify = emit_far_verify(stubs->interpret);
    stubs->far_enter = emit_far_enter(false);
    stubs->far_enter_by_selector = emit_far_enter(true);
  }

  // A far transfer that has not been made before, or not like this, is the monitor's, which notes
  // it. RCX is in saved_rcx.
  void leave_far_transfer(uint64_t interpret) {
    a_.mov(x86::rcx, host::saved_rcx);
    a_.pop(host::scratch);  // of the call
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(CalloutKind::FarTransfer));
    a_.jmp(imm(interpret));
  }

  uint64_t emit_far_find(uint64_t interpret) {
    Label same_tag = a_.newLabel();
    Label same_eip = a_.newLabel();
    Label other = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(slot32(RINGSHIFT_SLOT(far_eip)), host::address.r32());
    a_.mov(slot64(RINGSHIFT_SLOT(far_tag)), host::scratch2);
    a_.mov(host::saved_rcx, x86::rcx);
    a_.lea(host::scratch.r32(), x86::ptr(host::address, host::scratch, 2));  // far_target_index
    a_.movzx(host::scratch.r32(), host::scratch.r8());
    a_.lea(host::scratch.r32(), x86::ptr(0, host::scratch, 3));
    a_.mov(x86::rcx, far64(offsetof(FarTarget, negated_tag)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, host::scratch2));
    a_.jecxz(x86::rcx, same_tag);
    a_.bind(other);
    leave_far_transfer(interpret);
    a_.bind(same_tag);
    a_.mov(x86::ecx, far32(offsetof(FarTarget, negated_eip)));
    a_.lea(x86::ecx, x86::ptr(x86::rcx, host::address));
    a_.jecxz(x86::ecx, same_eip);
    a_.jmp(other);
    a_.bind(same_eip);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(slot64(RINGSHIFT_SLOT(far_entry)), host::scratch);
    a_.ret();
    return at;
  }

  uint64_t emit_far_verify(uint64_t interpret) {
    Label same = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(host::saved_rcx, x86::rcx);
    a_.mov(x86::rcx, far64(offsetof(FarTarget, negated_bytes)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, host::scratch2));
    a_.jecxz(x86::rcx, same);
    leave_far_transfer(interpret);
    a_.bind(same);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.ret();
    return at;
  }

  // The return points on the stack belong to the mode that is left: they compare EIPs.
  uint64_t emit_far_enter(bool by_selector) {
    const int32_t cache = cache_of(SegmentRegister::Cs);
    const size_t cs = offsetof(FarTarget, cs);
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(host::scratch, slot64(RINGSHIFT_SLOT(far_entry)));
    if (by_selector) {
      a_.mov(host::address.r32(), far32(cs + offsetof(SegmentCache, base)));
      a_.mov(slot32(cache + static_cast<int32_t>(offsetof(SegmentCache, base))),
             host::address.r32());
      a_.mov(host::address.r32(), far32(cs + offsetof(SegmentCache, selector)));
      a_.mov(x86::word_ptr(host::frame,
                           cache + static_cast<int32_t>(offsetof(SegmentCache, selector))),
             host::address.r16());
    } else {
      a_.mov(host::address, far64(cs));
      a_.mov(slot64(cache), host::address);
      a_.mov(host::address.r32(), far32(cs + 8));
      a_.mov(slot32(cache + 8), host::address.r32());
      a_.mov(host::address, far64(offsetof(FarTarget, room)));
      a_.mov(room_of(SegmentRegister::Cs), host::address);
    }
    a_.mov(host::jump_table, far64(offsetof(FarTarget, jump_table)));
    a_.mov(slot64(RINGSHIFT_SLOT(jump_table)), host::jump_table);
    a_.mov(x86::rsp, slot64(RINGSHIFT_SLOT(return_stack_bottom)));
    a_.jmp(far64(offsetof(FarTarget, body)));
    return at;
  }

  [[nodiscard]] static x86::Mem answer32(size_t member) {
    return entry32(offsetof(Frame, cpuid), member);
  }

  uint64_t emit_cpuid(uint64_t callout) {
    Label same_leaf = a_.newLabel();
    Label of_subleaf = a_.newLabel();
    Label answered = a_.newLabel();
    Label slow = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(host::saved_rcx, x86::rcx);
    a_.mov(host::scratch.r32(), x86::eax);  // cpuid_index, four times, for entries of 32 bytes
    a_.bswap(host::scratch.r32());
    a_.lea(host::scratch.r32(), x86::ptr(x86::rax, host::scratch));
    a_.movzx(host::scratch.r32(), host::scratch.r8());
    a_.lea(host::scratch.r32(), x86::ptr(0, host::scratch, 2));
    a_.mov(x86::ecx, answer32(offsetof(CpuidAnswer, negated_leaf)));
    a_.lea(x86::ecx, x86::ptr(x86::rcx, x86::rax));
    a_.jecxz(x86::ecx, same_leaf);
    a_.bind(slow);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(CalloutKind::Cpuid));
    a_.jmp(imm(callout));
    a_.bind(same_leaf);
    a_.mov(x86::ecx, answer32(offsetof(CpuidAnswer, is_for_all)));
    a_.jecxz(x86::ecx, of_subleaf);
    a_.bind(answered);
    a_.mov(x86::eax, answer32(offsetof(CpuidAnswer, eax)));
    a_.mov(x86::ebx, answer32(offsetof(CpuidAnswer, ebx)));
    a_.mov(x86::ecx, answer32(offsetof(CpuidAnswer, ecx)));
    a_.mov(x86::edx, answer32(offsetof(CpuidAnswer, edx)));
    a_.ret();
    a_.bind(of_subleaf);
    a_.mov(x86::rcx, entry64(offsetof(Frame, cpuid), offsetof(CpuidAnswer, negated_subleaf)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, host::saved_rcx));
    a_.jecxz(x86::rcx, answered);
    a_.jmp(slow);
    return at;
  }

  [[nodiscard]] static int32_t ring_field(Privilege privilege, size_t member) {
    return frame_displacement(offsetof(Frame, rings) +
                              static_cast<size_t>(privilege) * sizeof(RingView) + member);
  }

  // SYSENTER or SYSEXIT (SDM 2B), where the monitor has nothing to do but change the view. CS and
  // SS are flat on both sides, so that their last four bytes are all that differs.
  uint64_t emit_ring_change(CalloutKind kind, const Stubs& stubs) {
    const bool enters = kind == CalloutKind::SystemEnter;
    const Privilege to = enters ? Privilege::Supervisor : Privilege::User;
    const Privilege from = enters ? Privilege::User : Privilege::Supervisor;
    constexpr auto kRights = static_cast<int32_t>(offsetof(SegmentCache, selector));
    constexpr unsigned kUserRing = 3;
    Label open = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    a_.mov(host::saved_rcx, x86::rcx);
    a_.mov(x86::ecx, slot32(ring_field(to, offsetof(RingView, is_open))));
    a_.lea(x86::ecx, x86::ptr(x86::rcx, -1));
    a_.jecxz(x86::ecx, open);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(slot32(RINGSHIFT_SLOT(callout_kind)), static_cast<uint32_t>(kind));
    a_.jmp(imm(stubs.interpret));
    a_.bind(open);
    a_.mov(x86::rcx, host::saved_rcx);
    a_.mov(slot64(ring_field(from, offsetof(RingView, return_stack))), x86::rsp);
    a_.mov(x86::rsp, slot64(ring_field(to, offsetof(RingView, return_stack))));
    load_ring_slot(to, offsetof(RingView, return_stack_bottom), RINGSHIFT_SLOT(return_stack_bottom),
                   host::scratch);
    load_ring_slot(to, offsetof(RingView, window_base), RINGSHIFT_SLOT(window_base), host::window);
    load_ring_slot(to, offsetof(RingView, window_negated), RINGSHIFT_SLOT(window_negated),
                   host::scratch);
    load_ring_slot(to, offsetof(RingView, jump_table), RINGSHIFT_SLOT(jump_table),
                   host::jump_table);
    a_.mov(host::scratch.r32(), slot32(ring_field(to, offsetof(RingView, cs))));
    a_.mov(slot32(cache_of(SegmentRegister::Cs) + kRights), host::scratch.r32());
    a_.mov(host::scratch.r32(), slot32(ring_field(to, offsetof(RingView, ss))));
    a_.mov(slot32(cache_of(SegmentRegister::Ss) + kRights), host::scratch.r32());
    a_.mov(x86::byte_ptr(host::frame, RINGSHIFT_STATE(cpl)), enters ? 0U : kUserRing);
    a_.mov(slot32(RINGSHIFT_SLOT(ring)), static_cast<uint32_t>(to));
    if (enters) {
      a_.mov(slot32(RINGSHIFT_SLOT(interrupt_flag)), 0U);
      a_.mov(host::guest_esp.r32(), slot32(RINGSHIFT_STATE(sysenter_esp)));
      a_.mov(host::address.r32(), slot32(RINGSHIFT_STATE(sysenter_eip)));
      a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(kernel_entries)));
      a_.lea(host::scratch.r32(), x86::ptr(host::scratch, 1));
      a_.mov(slot32(RINGSHIFT_SLOT(kernel_entries)), host::scratch.r32());
    } else {
      a_.mov(host::guest_esp.r32(), x86::ecx);
      a_.mov(host::address.r32(), x86::edx);
    }
    a_.jmp(dispatch_);
    return at;
  }

  void load_ring_slot(Privilege to, size_t member, int32_t slot, const x86::Gp& through) {
    a_.mov(through, slot64(ring_field(to, member)));
    a_.mov(slot64(slot), through);
  }

  // CR0 := R8D. TS only says whether FPU instructions fault, and they ask the slots; what is loaded
  // stays so. Anything else is for the monitor.
  uint64_t emit_write_cr0(uint64_t callout) {
    Label slow = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    save_flags();
    a_.mov(host::scratch.r32(), slot32(RINGSHIFT_STATE(cr0)));
    a_.xor_(host::scratch.r32(), host::address.r32());
    a_.test(host::scratch.r32(), ~kCr0Ts);
    a_.jnz(slow);
    store_cr0();
    a_.bind(slow);
    restore_flags();
    a_.jmp(imm(callout));
    return at;
  }

  uint64_t emit_clear_ts() {
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    save_flags();
    a_.mov(host::address.r32(), slot32(RINGSHIFT_STATE(cr0)));
    a_.and_(host::address.r32(), ~kCr0Ts);
    store_cr0();
    return at;
  }

  // Any access to a debug register is #DB while DR7.GD is set (SDM 3B 17.2.4).
  uint64_t emit_check_debug(uint64_t interpret) {
    Label guarded = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    save_flags();
    a_.test(slot32(kDr7), kDr7GeneralDetect);
    a_.jnz(guarded);
    restore_flags();
    a_.ret();
    a_.bind(guarded);
    restore_flags();
    a_.pop(host::scratch);  // of the call
    a_.jmp(imm(interpret));
    return at;
  }

  // DR7 := R8D, if it is that already.
  uint64_t emit_write_dr7(uint64_t callout) {
    Label slow = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    save_flags();
    a_.test(slot32(kDr7), kDr7GeneralDetect);
    a_.jnz(slow);
    a_.cmp(host::address.r32(), slot32(kDr7));
    a_.jne(slow);
    restore_flags();
    a_.ret();
    a_.bind(slow);
    restore_flags();
    a_.jmp(imm(callout));
    return at;
  }

  // CR0 := R8D, which differs in TS at most; Slots::allow_fpu; back to the fragment.
  void store_cr0() {
    a_.mov(slot32(RINGSHIFT_STATE(cr0)), host::address.r32());
    a_.xor_(host::scratch2.r32(), host::scratch2.r32());
    a_.mov(host::scratch.r32(), slot32(RINGSHIFT_SLOT(fpu_loaded)));
    a_.test(host::address.r32(), kCr0Ts | kCr0Em);
    a_.cmovnz(host::scratch.r32(), host::scratch2.r32());
    a_.mov(slot32(RINGSHIFT_SLOT(x87_live)), host::scratch.r32());
    a_.test(slot32(RINGSHIFT_STATE(cr4)), kCr4Osfxsr);
    a_.cmovz(host::scratch.r32(), host::scratch2.r32());
    a_.mov(slot32(RINGSHIFT_SLOT(sse_live)), host::scratch.r32());
    restore_flags();
    a_.ret();
  }

  // GDTR := base R10D, limit R9D, if it is that already, as where a BIOS is called again and again.
  uint64_t emit_load_gdt(uint64_t callout) {
    Label slow = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    const uint64_t at = here();
    save_flags();
    a_.cmp(host::scratch2.r32(), slot32(RINGSHIFT_STATE(gdtr.base)));
    a_.jne(slow);
    a_.cmp(host::scratch.r32(), slot32(RINGSHIFT_STATE(gdtr.limit)));
    a_.jne(slow);
    restore_flags();
    a_.ret();
    a_.bind(slow);
    restore_flags();
    a_.jmp(imm(callout));
    return at;
  }

  // Translated code calls the monitor: all of the guest is in the state meanwhile, as after an
  // exit, but nothing is looked up to come back. The callee answers kCalloutLeaves, kCalloutReturns
  // or the host address to go on at.
  void emit_callout(Stubs* stubs) {
    Label common = a_.newLabel();
    Label elsewhere = a_.newLabel();
    a_.align(AlignMode::kCode, 16);
    stubs->interpret = here();
    a_.mov(slot64(RINGSHIFT_SLOT(callout_return)), 0);
    a_.jmp(common);
    a_.align(AlignMode::kCode, 16);
    stubs->callout = here();
    a_.pop(slot64(RINGSHIFT_SLOT(callout_return)));
    a_.bind(common);
    a_.mov(slot32(RINGSHIFT_SLOT(exit_reason)), static_cast<uint32_t>(ExitReason::Interpret));
    store_guest();
    a_.sub(x86::rsp, 8);  // aligned for the call
    a_.mov(x86::rdi, slot64(RINGSHIFT_SLOT(callout_context)));
    a_.call(slot64(RINGSHIFT_SLOT(callout)));
    a_.add(x86::rsp, 8);
    a_.cmp(x86::rax, static_cast<int32_t>(kCalloutReturns));
    a_.jb(leave_registers_);
    a_.ja(elsewhere);
    load_fpu();
    load_event_walk();
    load_guest_flags();
    a_.mov(x86::rsp, slot64(RINGSHIFT_SLOT(return_stack)));
    for (size_t i = 0; i < host::guest32.size(); ++i) a_.mov(host::guest32[i], state_gpr(i));
    // By RET, so that the processor's own return predictor stays in step.
    a_.push(slot64(RINGSHIFT_SLOT(callout_return)));
    a_.ret();
    a_.bind(elsewhere);
    a_.mov(slot64(RINGSHIFT_SLOT(enter_at)), x86::rax);
    a_.jmp(enter_registers_);
  }

  void emit_leave(Stubs* stubs) {
    a_.align(AlignMode::kCode, 16);
    stubs->leave_fault = here();
    a_.mov(slot32(RINGSHIFT_SLOT(exit_eip)), host::address.r32());
    a_.mov(slot32(RINGSHIFT_SLOT(exit_reason)), static_cast<uint32_t>(ExitReason::HostFault));
    a_.bind(leave_);
    stubs->leave = here();
    store_guest();
    a_.bind(leave_registers_);
    a_.add(x86::rsp, 16);
    for (const x86::Gp& reg : {x86::r15, x86::r14, x86::r13, x86::r12, x86::rbp, x86::rbx}) {
      a_.pop(reg);
    }
    a_.ret();
  }

  void save_flags() { soft_.save_flags(); }
  void restore_flags() { soft_.restore_flags(); }

  // R8D: linear address -> R8: host address of `size` bytes that lie in one page.
  void emit_soft(Privilege privilege, bool is_write, uint32_t size) {
    soft_.emit(privilege, is_write, size);
    leave_with(ExitReason::SoftMiss);
  }

  void publish() {
    CHECK(code_.flatten() == kErrorOk && code_.resolveUnresolvedLinks() == kErrorOk);
    CHECK(code_.relocateToBase(arena_.base()) == kErrorOk);
    const CodeBuffer& buffer = code_.textSection()->buffer();
    CHECK(arena_.publish({buffer.data(), buffer.size()}, 0).address == arena_.base());
    arena_.keep_everything_so_far();
  }

  CodeArena& arena_;
  CodeHolder code_;
  x86::Assembler a_;
  SoftStubEmitter soft_{a_};
  Label leave_, dispatch_, enter_registers_, leave_registers_;
  bool counts_events_;
};

}  // namespace

uint64_t Stubs::soft_for(Privilege privilege, bool is_write, uint32_t size) const {
  for (size_t i = 0; i < kSoftSizes.size(); ++i) {
    if (kSoftSizes[i] == size) {
      return soft[static_cast<size_t>(privilege)][is_write ? 1 : 0][i];
    }
  }
  return 0;
}

Stubs emit_stubs(CodeArena& arena, bool counts_events) {
  return StubEmitter(arena, counts_events).emit();
}

}  // namespace ringshift

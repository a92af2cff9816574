#include "monitor/trap/deprivileged.h"

#include <fmt/format.h>

#include <cstring>

#include "shadowmmu/base/counters.h"
#include "shadowmmu/walker.h"
#include "translator/frame.h"

namespace ringshift::lab {
namespace {

constexpr uint16_t kHostCode32 = 0x23, kHostData = 0x2b;
// The bits of EFLAGS that the processor keeps for deprivileged code; IF, IOPL and VM are virtual.
constexpr uint32_t kNativeFlags = kFlagsArithmetic | kFlagDf | kFlagNt | kFlagAc | kFlagId;

uint64_t flushes_so_far() {
  const Counters& count = counters();
  return count.tlb_flushes + count.tlb_invlpg;
}

}  // namespace

std::unique_ptr<Deprivileged> Deprivileged::create(LinearMemory& linear, PhysicalMemory& physical,
                                                   std::string* error) {
  std::unique_ptr<Deprivileged> made(new Deprivileged(linear, physical));
  for (View& view : made->views_) {
    view.process = Tracee::create(physical.ram().descriptor(), error);
    if (view.process == nullptr) return nullptr;
  }
  return made;
}

std::unique_ptr<Deprivileged> Deprivileged::create(
    LinearMemory& linear, PhysicalMemory& physical,
    const std::array<std::shared_ptr<Tracee>, 2>& processes) {
  std::unique_ptr<Deprivileged> made(new Deprivileged(linear, physical));
  for (size_t i = 0; i < processes.size(); ++i) made->views_[i].process = processes[i];
  made->flush();
  return made;
}

// A virtual segment that is flat can be a flat one of the host's; any other becomes null, so that
// its use traps. Segments that the guest has loaded since without our knowledge stay as they are.
void Deprivileged::load_registers(const GuestState& state, View* view,
                                  user_regs_struct* out) const {
  *out = {};
  out->rax = state.reg(Gpr::Eax);
  out->rcx = state.reg(Gpr::Ecx);
  out->rdx = state.reg(Gpr::Edx);
  out->rbx = state.reg(Gpr::Ebx);
  out->rsp = state.reg(Gpr::Esp);
  out->rbp = state.reg(Gpr::Ebp);
  out->rsi = state.reg(Gpr::Esi);
  out->rdi = state.reg(Gpr::Edi);
  out->rip = state.eip;
  out->eflags = (state.eflags & kNativeFlags) | kHostFlagsConstant;
  for (size_t i = 0; i < kSegmentCount; ++i) {
    if (!view->is_fresh && view->loaded[i] == state.segment[i]) continue;
    view->loaded[i] = state.segment[i];
    view->native[i] = state.segment[i].is_flat_data() ? kHostData : 0;
  }
  view->is_fresh = false;
  out->cs = kHostCode32;
  out->ss = kHostData;
  out->es = view->native[static_cast<size_t>(SegmentRegister::Es)];
  out->ds = view->native[static_cast<size_t>(SegmentRegister::Ds)];
  out->fs = view->native[static_cast<size_t>(SegmentRegister::Fs)];
  out->gs = view->native[static_cast<size_t>(SegmentRegister::Gs)];
}

void Deprivileged::store_registers(const user_regs_struct& registers, View* view,
                                   GuestState* state) const {
  const std::array<uint64_t, kGprCount> gpr = {registers.rax, registers.rcx, registers.rdx,
                                               registers.rbx, registers.rsp, registers.rbp,
                                               registers.rsi, registers.rdi};
  for (size_t i = 0; i < kGprCount; ++i) state->gpr[i] = static_cast<uint32_t>(gpr[i]);
  state->eip = static_cast<uint32_t>(registers.rip);
  state->eflags =
      (state->eflags & ~kNativeFlags) | (static_cast<uint32_t>(registers.eflags) & kNativeFlags);
  view->native[static_cast<size_t>(SegmentRegister::Es)] = static_cast<uint16_t>(registers.es);
  view->native[static_cast<size_t>(SegmentRegister::Ds)] = static_cast<uint16_t>(registers.ds);
  view->native[static_cast<size_t>(SegmentRegister::Fs)] = static_cast<uint16_t>(registers.fs);
  view->native[static_cast<size_t>(SegmentRegister::Gs)] = static_cast<uint16_t>(registers.gs);
}

DeprivilegedRunner::Stop Deprivileged::give_up(std::string why) {
  message_ = "trap-and-emulate: " + std::move(why);
  return Stop::GiveUp;
}

// Fills as a shadow page table would; a refusal of the guest's tables is the guest's own fault.
DeprivilegedRunner::Stop Deprivileged::handle_page_fault(View& view, const GuestState& state) {
  const uint64_t address = view.process->address();
  if (address >> 32 != 0) return give_up(fmt::format("64-bit code at {:#x}", address));
  const GuestVirtual linear(static_cast<uint32_t>(address));
  // A mapping that was too weak: the access is interpreted, which sets D or finds the fault.
  if (view.process->present()) {
    flush();
    return Stop::Interpret;
  }
  const WalkResult found = walk(linear_.paging_mode(), physical_, linear.page_base(),
                                AccessKind::Read, state.privilege());
  if (found.fault) return Stop::Interpret;
  const GuestPhysical physical = physical_.masked(found.translation.physical);
  const bool is_ram = physical_.is_ram(GuestPhysicalPage::of(physical));
  const bool paging = found.translation.levels != 0;
  const bool writable = found.translation.writable && (!paging || found.translation.dirty);
  // The process holds the descriptor of the machine's own memory, and no other.
  if (is_ram) physical_.will_write(GuestPhysicalPage::of(physical));
  if (!is_ram || !view.process->map(linear.page_base().value(), physical.value(), writable)) {
    return Stop::Interpret;
  }
  ++counters().faults_hidden;
  return Stop::Resume;
}

uint8_t Deprivileged::code_byte(const GuestState& state, uint32_t linear) {
  uint8_t byte = 0;
  uint32_t fetched = 0;
  if (linear_.fetch(GuestVirtual(linear), &byte, 1, state.privilege(), &fetched)) return 0;
  return byte;
}

// A trap: EIP is after INT3 (one byte, or CD 03) or INT1.
DeprivilegedRunner::Stop Deprivileged::handle_breakpoint(GuestState& state) {
  constexpr uint8_t kInt3 = 0xcc, kInt1 = 0xf1, kIntN = 0xcd, kThree = 3;
  const uint8_t last = code_byte(state, state.eip - 1);
  if (last == kInt3 || last == kInt1) {
    state.eip -= 1;
    return Stop::Interpret;
  }
  if (last == kThree && code_byte(state, state.eip - 2) == kIntN) {
    state.eip -= 2;
    return Stop::Interpret;
  }
  return give_up(fmt::format("a debug trap of unknown origin at {:#x}", state.eip));
}

DeprivilegedRunner::Stop Deprivileged::handle_system_call(const user_regs_struct& registers,
                                                          GuestState& state) {
  constexpr uint8_t kIntN = 0xcd, kVector = 0x80;
  state.reg(Gpr::Eax) = static_cast<uint32_t>(registers.orig_rax);  // RAX is an error number by now
  const uint32_t instruction = state.eip - 2;
  if (code_byte(state, instruction) == kIntN && code_byte(state, instruction + 1) == kVector) {
    state.eip = instruction;
    return Stop::Interpret;
  }
  return give_up("SYSENTER entered the host's kernel, and where it was executed is lost");
}

// PUSHF has stored the trap flag that the host steps with: that one is our doing, not the host's.
void Deprivileged::hide_trap_flag(uint32_t stepped_eip, const GuestState& state) {
  constexpr uint8_t kPushf = 0x9c;
  if (code_byte(state, stepped_eip) != kPushf) return;
  uint32_t image = 0;
  const GuestVirtual top(state.reg(Gpr::Esp));
  if (linear_.read_value(top, state.privilege(), &image)) return;
  (void)linear_.write_value(top, state.privilege(), image & ~kFlagTf);
}

void Deprivileged::flush() {
  for (View& view : views_) (void)view.process->unmap_all();
}

void Deprivileged::after_interpreted(const GuestState&) {
  const uint64_t now = flushes_so_far();
  if (now != flushes_seen_) flush();
  flushes_seen_ = now;
}

DeprivilegedRunner::Stop Deprivileged::run(GuestState& state) {
  after_interpreted(state);
  if (at_boundary_) at_boundary_(state);
  const uint32_t began_at = state.eip;
  View& view = views_[static_cast<size_t>(state.privilege())];
  user_regs_struct registers{};
  user_fpregs_struct fpu{};
  static_assert(sizeof(fpu) == sizeof(state.fxsave));
  std::memcpy(&fpu, state.fxsave.data(), sizeof(fpu));
  load_registers(state, &view, &registers);
  const TraceStop stop = view.process->run(&registers, &fpu, single_);
  if (stop == TraceStop::Gone) return give_up("the process for deprivileged code has ended");
  if (registers.cs != kHostCode32) {
    return give_up(fmt::format("the guest has left 32-bit code (CS={:x})", registers.cs));
  }
  store_registers(registers, &view, &state);
  std::memcpy(state.fxsave.data(), &fpu, sizeof(fpu));
  switch (stop) {
    case TraceStop::PageFault:
      return handle_page_fault(view, state);
    case TraceStop::Exception:
      return Stop::Interpret;
    case TraceStop::Breakpoint:
      return handle_breakpoint(state);
    case TraceStop::SystemCall:
      return handle_system_call(registers, state);
    case TraceStop::Stepped:
      hide_trap_flag(began_at, state);
      return Stop::Resume;
    case TraceStop::Tick:
    case TraceStop::Gone:
      break;
  }
  return Stop::Resume;
}

}  // namespace ringshift::lab

#include "monitor/vcpu/vcpu.h"

#include <signal.h>
#include <x86intrin.h>

#include <cstdio>
#include <utility>

#include "monitor/host/host_signals.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

Privilege privilege_of(const GuestState& state) {
  return state.cpl == 3 ? Privilege::User : Privilege::Supervisor;
}

}  // namespace

Vcpu::Vcpu(const VcpuParts& parts, const VcpuConfig& config)
    : parts_(parts),
      config_(config),
      transfers_(parts.cpu),
      look_(parts.clock, [](Nanoseconds) {}) {
  if (parts_.gate == nullptr) return;
  descriptors_ = std::make_unique<LoadedDescriptors>(parts_.gate->frame(), parts_.cpu.memory,
                                                     *parts_.coherence);
  if (!config_.make_callouts) return;
  parts_.gate->set_callout([](void* vcpu) { return static_cast<Vcpu*>(vcpu)->answer_callout(); },
                           this);
}

StopReason Vcpu::run() {
  const GuestState& state = parts_.cpu.state;
  while (true) {
    if (parts_.attention.is_raised()) service_attention();
    if (const StopReason stop = stop_.load(std::memory_order_relaxed);
        stop != StopReason::Running) {
      cpuid_faulting_.end();
      return stop;
    }
    if (state.activity == ActivityState::Shutdown) return StopReason::Reset;
    if (parts_.control != nullptr && parts_.control->is_engaged() && run_controlled()) continue;
    if (deliver_interrupt()) continue;
    if (state.activity == ActivityState::Halted) {
      wait_halted();
      continue;
    }
    if (config_.engine == Engine::Translate && execution_mode(state) == ModeReason::Translatable) {
      const Privilege privilege = privilege_of(state);
      note_privilege(privilege);
      if (privilege == Privilege::User && wants_direct() && run_direct()) continue;
      run_translated();
    } else if (config_.engine == Engine::Trap &&
               execution_mode(state) == ModeReason::Translatable) {
      run_deprivileged();
    } else {
      forget_continuation();
      interpret_one();
    }
  }
}

// The guest moves on without translated code: what was to be resumed or linked there is void.
void Vcpu::forget_continuation() {
  resume_pc_ = 0;
  pending_link_ = kNoLink;
  pending_jump_ = false;
}

void Vcpu::service_attention() {
  counters().attentions++;
  const uint64_t now = __rdtsc();
  shared_cpu_.while_alone(now);
  cpuid_faulting_.while_alone(now);
  parts_.attention.take();
  parts_.attention.drain_wakeups();
  parts_.clock.run_due();
  parts_.clock.rearm();
  parts_.service_host();
  if (HostSignals::termination_requested()) request_stop(StopReason::Quit);
}

// True if the guest's state has changed (an interrupt has been delivered).
bool Vcpu::deliver_interrupt() {
  GuestState& state = parts_.cpu.state;
  if (parts_.interrupts.nmi_pending() && state.nmi_blocked == 0) return deliver_nmi();
  if (!parts_.interrupts.pending()) return false;
  if ((state.eflags & kFlagIf) == 0 || state.interrupt_shadow != 0) return false;
  Event event;
  event.kind = EventKind::HardwareInterrupt;
  event.vector = parts_.interrupts.acknowledge();
  event.return_eip = state.eip;
  counters().events_interrupts++;
  if (config_.observer != nullptr) config_.observer->before_interrupt(event, state);
  deliver_event(event, state.eip);
  return true;
}

// Not in the shadow of MOV SS: the instruction in it goes first (SDM 3A 6.8.3).
bool Vcpu::deliver_nmi() {
  GuestState& state = parts_.cpu.state;
  if (state.interrupt_shadow != 0) {
    interpret_one();
    return true;
  }
  parts_.interrupts.take_nmi();
  Event event;
  event.kind = EventKind::Nmi;
  event.vector = static_cast<uint8_t>(Vector::Nmi);
  event.return_eip = state.eip;
  counters().events_interrupts++;
  if (config_.observer != nullptr) config_.observer->before_interrupt(event, state);
  deliver_event(event, state.eip);
  return true;
}

void Vcpu::deliver_event(const Event& event, uint32_t instruction_eip) {
  resume_pc_ = 0;
  if (parts_.gate != nullptr) {
    // Kernels rarely use the FPU: do not carry its state into the handler and back.
    parts_.gate->frame().slots.x87_live = parts_.gate->frame().slots.sse_live = 0;
  }
  if (config_.engine == Engine::Translate && transfers_.deliver(event)) return;
  if (deliver(parts_.cpu, event, instruction_eip) == DeliveryResult::Shutdown) {
    parts_.cpu.state.activity = ActivityState::Shutdown;
  }
}

void Vcpu::wait_halted() {
  const GuestState& state = parts_.cpu.state;
  if ((state.eflags & kFlagIf) == 0) {
    request_stop(StopReason::Halted);
    return;
  }
  counters().halts++;
  look_.cancel();
  parts_.before_sleep();
  const Nanoseconds asleep_at = parts_.clock.now();
  const std::optional<Nanoseconds> deadline = parts_.clock.next_deadline();
  if (deadline) {
    const timespec host = parts_.clock.host_time_of(*deadline);
    parts_.clock.disarm();
    parts_.attention.sleep_until(&host);
  } else {
    parts_.attention.sleep_until(nullptr);
  }
  counters().halted_nanoseconds += static_cast<uint64_t>(parts_.clock.now() - asleep_at);
  service_attention();
}

void Vcpu::interpret_one() {
  const GuestState& state = parts_.cpu.state;
  const uint32_t eip = state.eip;
  if (config_.observer != nullptr) config_.observer->before_interpreted(state);
  const StepResult step = parts_.interpreter.step();
  finish_interpreted(step, eip);
  if (parts_.control != nullptr && parts_.control->is_engaged()) note_controlled(step);
  if (config_.observer != nullptr) config_.observer->after_interpreted(state);
}

// What MOV SS has held off ends with the delivery of an event: the #DB comes before the first
// instruction of that event's handler (SDM 3A 6.8.3).
void Vcpu::deliver_held_debug() {
  GuestState& state = parts_.cpu.state;
  if (state.held_debug == 0 || state.activity == ActivityState::Shutdown) return;
  GuestFault fault = GuestFault::simple(Vector::Debug);
  fault.dr6_bits = std::exchange(state.held_debug, 0);
  deliver_event(Event::from_fault(fault, state.eip), state.eip);
}

// What the instruction at `eip` asks of the loop.
void Vcpu::finish_interpreted(const StepResult& step, uint32_t eip) {
  GuestState& state = parts_.cpu.state;
  switch (step.kind) {
    case StepKind::Done:
      return;
    case StepKind::Fault: {
      counters().events_exceptions++;
      if (step.fault.vector == Vector::PageFault) {
        counters().faults_true++;
        has_prefault_ = state.cpl == 3;
        prefault_address_ = GuestVirtual(step.fault.cr2);
        prefault_is_write_ = (step.fault.error_code & kPageFaultWrite) != 0;
      }
      if (config_.observer != nullptr) config_.observer->on_guest_fault(step.fault, state);
      deliver_event(Event::from_fault(step.fault, state.eip), state.eip);
      return deliver_held_debug();
    }
    case StepKind::SoftwareEvent: {
      counters().events_software_interrupts++;
      Event event;
      event.kind =
          step.is_software_exception ? EventKind::SoftwareException : EventKind::SoftwareInterrupt;
      event.vector = step.vector;
      event.return_eip = step.return_eip;
      deliver_event(event, eip);
      return deliver_held_debug();
    }
    case StepKind::Halted:
      state.activity = ActivityState::Halted;
      return;
    case StepKind::Unimplemented:
      message_ = step.message;
      request_stop(StopReason::Unimplemented);
      return;
  }
  UNREACHABLE();
}

// ---- the trap engine ----

void Vcpu::run_deprivileged() {
  switch (parts_.deprivileged->run(parts_.cpu.state)) {
    case DeprivilegedRunner::Stop::Resume:
      return;
    case DeprivilegedRunner::Stop::Interpret:
      interpret_one();
      parts_.deprivileged->after_interpreted(parts_.cpu.state);
      return;
    case DeprivilegedRunner::Stop::GiveUp:
      message_ = parts_.deprivileged->message();
      request_stop(StopReason::Unimplemented);
      return;
  }
  UNREACHABLE();
}

// ---- the translate engine ----

void Vcpu::prepare_slots(Privilege privilege) {
  const GuestState& state = parts_.cpu.state;
  Slots& slots = parts_.gate->frame().slots;
  parts_.coherence->select_view(privilege);
  slots.interrupt_waiting = parts_.interrupts.pending() ? kFlagIf : 0;
  if ((state.cr0 & (kCr0Ts | kCr0Em)) != 0) slots.x87_live = slots.sse_live = 0;
  slots.time_stamp_denied = state.cr4 & kCr4Tsd;
  if (descriptors_) descriptors_->check_table();
  slots.fs_probe = segment_probe(state.seg(SegmentRegister::Fs));
  slots.gs_probe = segment_probe(state.seg(SegmentRegister::Gs));
}

// Where translated code for the current EIP begins; 0 if the interpreter must find out why not.
uint64_t Vcpu::entry_point(Privilege privilege) {
  if (resume_pc_ != 0) {
    const uint64_t at = resume_pc_;
    resume_pc_ = 0;
    return at;
  }
  const std::optional<TranslationKey> key =
      parts_.coherence->key_for(parts_.cpu.state.eip, privilege);
  if (!key) return 0;
  const SafePoint safe;
  const size_t known = parts_.translator->cache().size();
  Fragment* fragment = &parts_.translator->ensure(*key, safe);
  if (config_.make_links && parts_.translator->cache().size() != known) {
    counters().links_within_page += parts_.translator->cache().link_within_page(*fragment, safe);
  }
  if (fragment->crosses_page && !parts_.coherence->second_page_holds(*fragment)) {
    parts_.translator->cache().drop(*fragment, safe);
    fragment = &parts_.translator->ensure(*key, safe);
  }
  if (fragment->is_incomplete) {
    parts_.translator->cache().drop(*fragment, safe);
    return 0;
  }
  connect_link(*fragment);
  if (pending_jump_) parts_.coherence->set_jump(*fragment);
  return fragment->body();
}

// The branch that brought us here goes straight to the fragment from now on. User code that address
// spaces share is linked within one linear page only: another page may be another frame in another
// space, so such a branch goes through the view's jump table.
void Vcpu::connect_link(Fragment& to) {
  if (pending_link_ == kNoLink || !config_.make_links) return;
  TranslationCache& cache = parts_.translator->cache();
  if (pending_link_epoch_ != cache.epoch()) return;
  const TranslationCache::LinkView link = cache.link_view(pending_link_);
  if (link.from == nullptr || link.destination_eip != to.key.eip ||
      link.from->key.privilege != to.key.privilege || link.from->key.style != to.key.style ||
      link.from->key.view != to.key.view) {
    return;
  }
  const SafePoint safe;
  const bool same_page = (link.from->key.eip >> 12) == (to.key.eip >> 12);
  if (!to.key.is_shared() || (same_page && !to.crosses_page)) {
    cache.link(pending_link_, to, safe);
  } else {
    cache.link_through_table(pending_link_, parts_.translator->stubs().dispatch, safe);
    parts_.coherence->set_jump(to);
  }
}

// True if the instruction at EIP has been interpreted because the supervisor's window and code are
// not yet checked against the tables of the moment (Coherence::supervisor_needs_verification).
bool Vcpu::interpret_until_verified(Privilege privilege) {
  constexpr uint32_t kInterpretedBeforeVerifying = 48;
  if (privilege == Privilege::User || !parts_.coherence->supervisor_needs_verification()) {
    interpreted_unverified_ = 0;
    return false;
  }
  if (++interpreted_unverified_ < kInterpretedBeforeVerifying) {
    forget_continuation();
    interpret_one();
    return true;
  }
  interpreted_unverified_ = 0;
  parts_.coherence->verify_supervisor();
  return false;
}

void Vcpu::run_translated() {
  const Privilege privilege = privilege_of(parts_.cpu.state);
  if (interpret_until_verified(privilege)) return;
  parts_.coherence->prepare_view(privilege);
  if (parts_.coherence->has_pending_work()) {
    resume_pc_ = 0;
    const SafePoint safe;
    parts_.coherence->apply(safe);
  }
  if (has_prefault_ && privilege == Privilege::User) prefault();
  const uint64_t entry = entry_point(privilege);
  prepare_slots(privilege);  // after translating, which may have replaced the view
  pending_link_ = kNoLink;
  pending_jump_ = false;
  if (entry == 0) return interpret_one();
  if (!parts_.attention.enter()) {
    return;  // looked up again after attention has been seen to
  }
  const Exit exit = parts_.gate->run(entry, parts_.translator->cache());
  parts_.attention.leave();
  count(exit);
  if (config_.trace_exits) trace(exit);
  handle(exit, privilege_of(parts_.cpu.state));  // callouts may have changed rings meanwhile
  torture();
}

// User code goes on where its page fault was: the kernel has most likely made the page present, and
// mapping it now saves the host signal that finding it absent would cost.
void Vcpu::prefault() {
  has_prefault_ = false;
  if (!parts_.coherence->has_window(Privilege::User)) return;
  counters().shadow_prefaults++;
  (void)parts_.coherence->fill_window(prefault_address_, prefault_is_write_, Privilege::User);
}

void Vcpu::note_user_work(uint64_t amount) {
  if (parts_.coherence->note_user_work(amount)) resume_pc_ = 0;
}

void Vcpu::handle(const Exit& exit, Privilege privilege) {
  switch (exit.reason) {
    case ExitReason::Unlinked:
      pending_link_ = exit.link;
      pending_link_epoch_ = parts_.translator->cache().epoch();
      return;
    case ExitReason::IndirectMiss:
      pending_jump_ = true;
      return;
    case ExitReason::Interpret:
      if (privilege == Privilege::User) note_user_work(1);
      return interpret_one();
    case ExitReason::SoftMiss:
      return handle_soft_miss(exit, privilege);
    case ExitReason::EnsureFpu:
      return handle_ensure_fpu();
    case ExitReason::EventWindow:
      if (exit.link != 0) parts_.cpu.state.interrupt_shadow = 1;  // STI
      return;
    case ExitReason::HostFault:
      return handle_host_fault(exit, privilege);
    case ExitReason::Callout:
      return;
    default:
      UNREACHABLE();  // of untranslated code
  }
}

// The same instruction again, in the same fragment: at its first host instruction.
void Vcpu::resume_at_boundary(uint64_t host_pc) {
  const Fragment* fragment = parts_.translator->cache().fragment_at(host_pc);
  CHECK(fragment != nullptr);
  resume_pc_ = fragment->code.address +
               resume_offset(fragment->shape->recovery,
                             static_cast<uint32_t>(host_pc - fragment->code.address));
}

void Vcpu::handle_soft_miss(const Exit& exit, Privilege privilege) {
  constexpr uint32_t kRepeatsBeforeInterpreting = 2;
  const GuestVirtual address(exit.address);
  soft_miss_repeats_ = exit.eip == soft_miss_eip_ ? soft_miss_repeats_ + 1 : 0;
  soft_miss_eip_ = exit.eip;
  if (soft_miss_repeats_ >= kRepeatsBeforeInterpreting) {
    soft_miss_repeats_ = 0;
    return interpret_one();
  }
  if (parts_.coherence->fill_soft(address, exit.is_write, privilege) ==
      Coherence::Miss::Interpret) {
    interpret_one();
    if (privilege == Privilege::User)
      has_prefault_ = false;  // a soft site needs no window to go on
    return;
  }
  if (config_.observer != nullptr) {
    config_.observer->on_host_fault(FaultKind::Soft, address, exit.is_write, parts_.cpu.state);
  }
  resume_at_boundary(parts_.gate->frame().slots.exit_pc - 1);
  if (privilege == Privilege::User) note_user_work(1);
}

void Vcpu::handle_ensure_fpu() {
  const GuestState& state = parts_.cpu.state;
  Slots& slots = parts_.gate->frame().slots;
  const bool sse = (state.cr4 & kCr4Osfxsr) != 0;
  const bool already = slots.x87_live != 0 && (slots.sse_live != 0 || !sse);
  // Already loaded and still asked for: SSE without CR4.OSFXSR. The interpreter raises #UD or #NM.
  if (already || (state.cr0 & (kCr0Ts | kCr0Em)) != 0) return interpret_one();
  slots.x87_live = 1;
  slots.sse_live = sse ? 1 : 0;
}

void Vcpu::handle_host_fault(const Exit& exit, Privilege privilege) {
  const HostFault& fault = exit.fault;
  if (parts_.gate->is_poll_page(fault.address)) {
    // Attention; nothing was committed. A raise() on another thread that we overtook may have
    // protected the page after its word was taken: set it again, so that take() sees to the page.
    parts_.attention.raise();
    if (privilege == Privilege::User) note_user_tick();
    return;
  }
  if (parts_.gate->is_return_stack_guard(fault.address)) {
    parts_.gate->reset_return_stack(privilege);
    return;
  }
  constexpr uint32_t kPageFaultTrap = 14;
  constexpr uint32_t kDivideErrorTrap = 0;
  if (fault.signal == SIGBUS && fault.trap_number == kPageFaultTrap) {
    message_ = "the host cannot supply memory that the guest was given";
    return request_stop(StopReason::HostFailure);
  }
  const auto linear = parts_.coherence->window_address(fault.address, privilege);
  if (fault.trap_number == kPageFaultTrap && linear) {
    const bool filled = parts_.coherence->fill_window(*linear, fault.is_write, privilege) ==
                        Coherence::Miss::Filled;
    if (config_.observer != nullptr) {
      config_.observer->on_host_fault(filled ? FaultKind::Hidden : FaultKind::Traced, *linear,
                                      fault.is_write, parts_.cpu.state);
    }
    if (filled) return resume_at_boundary(fault.host_pc);
    counters().faults_traced++;
  }
  if (fault.trap_number == kPageFaultTrap || fault.trap_number == kDivideErrorTrap) {
    handle_site_fault();
  }
  interpret_one();
}

// Counts against the instruction at EIP; when it has cost enough, its fragment is made anew with
// soft accesses.
void Vcpu::handle_site_fault() {
  const GuestState& state = parts_.cpu.state;
  const Privilege privilege = privilege_of(state);
  const auto key = parts_.coherence->key_for(state.eip, privilege);
  if (!key || !parts_.coherence->note_site_fault(key->physical, privilege)) return;
  const SafePoint safe;
  parts_.translator->cache().drop_overlapping(key->physical, 1, safe);
}

void Vcpu::count(const Exit& exit) const {
  Counters& count = counters();
  switch (exit.reason) {
    case ExitReason::Unlinked:
      count.exit_unlinked++;
      break;
    case ExitReason::IndirectMiss:
      count.exit_indirect++;
      break;
    case ExitReason::Interpret:
      count.exit_interpret++;
      break;
    case ExitReason::SoftMiss:
      count.exit_soft_miss++;
      break;
    case ExitReason::EnsureFpu:
      count.exit_ensure_fpu++;
      break;
    case ExitReason::EventWindow:
      count.exit_event_window++;
      break;
    case ExitReason::HostFault:
      count.exit_host_fault++;
      break;
    case ExitReason::Callout:
      count.exit_callout++;
      break;
    case ExitReason::DirectFault:
      count.exit_direct_fault++;
      break;
    default:
      count.exit_direct_stop++;
      break;
  }
}

void Vcpu::trace(const Exit& exit) const {
  std::fprintf(stderr, "exit %s cpl=%u eip=%08x\n", exit_reason_name(exit.reason),
               static_cast<unsigned>(parts_.cpu.state.cpl), exit.eip);
}

void Vcpu::torture() {
  if (config_.drop_randomly != 0 && ++since_drop_ >= config_.drop_randomly) {
    since_drop_ = 0;
    resume_pc_ = 0;
    const SafePoint safe;
    parts_.translator->cache().drop_all(safe);
  }
  if (config_.verify_every != 0 && ++since_verify_ >= config_.verify_every) {
    since_verify_ = 0;
    const SafePoint safe;
    parts_.coherence->apply(safe);
    parts_.coherence->verify_invariants();
  }
}

}  // namespace ringshift

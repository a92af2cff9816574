// Vcpu: what translated code calls and expects back from. One instruction is done as the loop would
// do it; then the guest goes on inside, unless the loop has something to do first.
// Nothing here makes a SafePoint: what has been noted that could drop code ends the run (T3).
#include <utility>

#include "monitor/cpu/segmentation.h"
#include "monitor/vcpu/vcpu.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {

uint64_t Vcpu::answer_callout() {
  counters().callouts++;
  Gate& gate = *parts_.gate;
  const GuestState& state = parts_.cpu.state;
  Slots& slots = gate.frame().slots;
  parts_.attention.leave();
  gate.begin_callout();
  const uint32_t eip = state.eip;
  const uint8_t cpl = state.cpl;
  // A view that has just been given a window has other fragments from now on.
  const bool other_view = cpl == 3 && parts_.coherence->note_user_work(1);
  const CalloutKind kind = std::exchange(slots.callout_kind, CalloutKind::Any);
  if (!transfer_quickly(kind)) {
    do {
      interpret_one();
      // A REP string instruction comes in batches.
    } while (state.eip == eip && state.cpl == cpl && may_go_on_inside());
  }
  if (cpl == 0 && kind >= CalloutKind::LoadEs && kind <= CalloutKind::LoadGs) {
    descriptors_->note(static_cast<SegmentRegister>(static_cast<uint32_t>(kind) - 1));
  }
  if (!may_go_on_inside() || !parts_.attention.enter()) return gate.leave_from_callout();
  if (slots.callout_return != 0 && !other_view && state.eip == slots.callout_next_eip &&
      state.cpl == cpl) {
    counters().callouts_returned++;
    return gate.return_from_callout();
  }
  counters().callouts_dispatched++;
  return gate.dispatch_from_callout();
}

// Changes of ring that need no decoding and, if their tables are what they were last time, no
// checks. False: nothing has happened, and the interpreter does all of it.
bool Vcpu::transfer_quickly(CalloutKind kind) {
  if (config_.observer != nullptr) return false;
  const Slots& slots = parts_.gate->frame().slots;
  switch (kind) {
    case CalloutKind::SoftwareInterrupt: {
      Event event;
      event.kind = EventKind::SoftwareInterrupt;
      event.vector = static_cast<uint8_t>(slots.exit_address);
      event.return_eip = slots.callout_next_eip;
      counters().events_software_interrupts++;
      deliver_event(event, parts_.cpu.state.eip);
      return true;
    }
    case CalloutKind::InterruptReturn:
      return transfers_.return_from_interrupt();
    case CalloutKind::SystemEnter:
      return !sysenter(parts_.cpu);
    case CalloutKind::SystemExit:
      return !sysexit(parts_.cpu);
    default:
      return false;
  }
}

// The checks of the loop's top, in its order. True: the slots are those of the guest's view.
bool Vcpu::may_go_on_inside() {
  const GuestState& state = parts_.cpu.state;
  if (parts_.attention.is_raised() || torture_is_due()) return false;
  if (stop_.load(std::memory_order_relaxed) != StopReason::Running) return false;
  if (state.activity != ActivityState::Running) return false;
  if (parts_.control != nullptr && parts_.control->is_touched()) return false;
  if (execution_mode(state) != ModeReason::Translatable) return false;
  const Privilege privilege = state.cpl == 3 ? Privilege::User : Privilege::Supervisor;
  Coherence& coherence = *parts_.coherence;
  if (privilege == Privilege::Supervisor && coherence.supervisor_needs_verification()) return false;
  note_privilege(privilege);
  if (privilege == Privilege::User && wants_direct()) return false;
  coherence.prepare_view(privilege);
  if (coherence.has_pending_work()) return false;
  if (has_prefault_ && privilege == Privilege::User) prefault();
  prepare_slots(privilege);
  return (parts_.gate->frame().slots.interrupt_waiting & state.eflags) == 0;
}

// The torture switches count exits; callouts count as such, so that each may be the one.
bool Vcpu::torture_is_due() {
  if (config_.drop_randomly != 0 && ++since_drop_ >= config_.drop_randomly) return true;
  return config_.verify_every != 0 && ++since_verify_ >= config_.verify_every;
}

}  // namespace ringshift

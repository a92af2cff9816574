// TranslateEngine, second part: the functions that translated code calls and that return to it. One
// instruction is done as the loop would do it; then the guest goes on inside, unless the loop has
// something to do first. Nothing here makes a SafePoint: a noted event that could drop code ends
// the run (T3).
#include <utility>

#include "monitor/cpu/segments/segmentation.h"
#include "monitor/vcpu/engines/translate_engine.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

bool loads_data_segment(CalloutKind kind) {
  return kind >= CalloutKind::LoadEs && kind <= CalloutKind::LoadGs;
}

}  // namespace

uint64_t TranslateEngine::answer_callout() {
  counters().callouts++;
  Gate& gate = parts_.gate;
  const GuestState& guest = state();
  Slots& slots = slots_;
  parts_.attention.leave();
  gate.begin_callout();
  follow_ring();
  const CalloutKind kind = std::exchange(slots.callout_kind, CalloutKind::Any);
  const bool is_for_device = kind == CalloutKind::Port || kind == CalloutKind::DeviceMemory;
  const DeviceTurn device = is_for_device ? reach_device(kind) : DeviceTurn::NotYet;
  if (device == DeviceTurn::Back) return gate.return_from_callout();
  if (device == DeviceTurn::Away) return gate.leave_from_callout();
  const uint8_t cpl = guest.cpl;
  follow_mode();
  const CodeMode mode = mode_;
  const uint64_t window = slots.window_base;
  // A view that has just been given a window has other fragments from now on.
  const bool other_view = cpl == 3 && parts_.spaces.note_user_work(1);
  const uint32_t leaf = guest.reg(Gpr::Eax), subleaf = guest.reg(Gpr::Ecx);
  const uint64_t faults = counters().events_exceptions;
  if (device == DeviceTurn::NotYet) {
    if (kind != CalloutKind::DeviceMemory) {
      execute_callout(kind);
    } else if (execute_device_access(Eip(slots.exit_eip))) {
      return gate.leave_from_callout();
    }
  }
  if (loads_data_segment(kind)) {
    descriptors_.note(static_cast<SegmentRegister>(static_cast<uint32_t>(kind) - 1));
  }
  if (kind == CalloutKind::Cpuid) cpuid_.note(leaf, subleaf);
  const bool is_far = kind == CalloutKind::FarTransfer && guest.eip == slots.far_eip &&
                      guest.cpl == cpl && counters().events_exceptions == faults;
  if (!may_go_on_inside() || !parts_.attention.enter()) return gate.leave_from_callout();
  if (slots.callout_return != 0 && !other_view && guest.eip == slots.callout_next_eip &&
      guest.cpl == cpl && mode_ == mode && slots.window_base == window) {
    counters().callouts_returned++;
    return gate.return_from_callout();
  }
  counters().callouts_dispatched++;
  if (is_far || (!mode_.is_flat() && mode_ != mode)) return enter_from_callout(is_far, mode);
  return gate.dispatch_from_callout();
}

// Modes share few jump tables, and far transfers change the mode: what there is at the guest's EIP
// is asked of the cache, before the table. is_far: by such a transfer, from this mode.
uint64_t TranslateEngine::enter_from_callout(bool is_far, const CodeMode& from) {
  const auto key = parts_.code.key_for(state().pointer(), state().privilege(), mode_);
  const Fragment* fragment = key ? parts_.translator.cache().find(*key) : nullptr;
  const bool is_known = fragment != nullptr && !fragment->crosses_page && !fragment->is_incomplete;
  if (is_known && is_far) {
    descriptors_.note_far(from, mode_, fragment->body());
    parts_.data.settle(Privilege::Supervisor);  // the descriptor may have cost it a page
  }
  if (!is_known || parts_.spaces.has_pending_work()) return parts_.gate.dispatch_from_callout();
  return parts_.gate.enter_from_callout(fragment->body());
}

// True: it has met RAM once too often, and its site is to be made anew.
bool TranslateEngine::execute_device_access(Eip site) {
  const uint64_t before = physical().device_accesses();
  execute_callout(CalloutKind::DeviceMemory);
  if (physical().device_accesses() != before || !parts_.sites.note_ram_access(site)) return false;
  ram_site_ = site;
  return true;
}

void TranslateEngine::execute_callout(CalloutKind kind) {
  if (transfer_quickly(kind)) return;
  const GuestState& guest = state();
  const uint32_t eip = guest.eip;
  const uint8_t cpl = guest.cpl;
  do {
    parts_.boundary.interpret();
    // A REP string instruction comes in batches.
  } while (guest.eip == eip && guest.cpl == cpl && may_go_on_inside());
  finish_shadow();
}

// Where events are counted each STI is a callout. The instruction in its shadow is done here, too,
// which saves an exit.
void TranslateEngine::finish_shadow() {
  const Boundary& boundary = parts_.boundary;
  if (boundary.events() == nullptr || state().interrupt_shadow == 0) return;
  if (parts_.boundary.stop().is_wanted() || boundary.event_is_due()) return;
  const ExecutionControl* control = boundary.control();
  if (control == nullptr || !control->is_engaged()) parts_.boundary.interpret();
}

// Changes of ring that need no decoding and, if their tables are what they were last time, no
// checks. False: nothing has happened, and the interpreter does all of it.
bool TranslateEngine::transfer_quickly(CalloutKind kind) {
  if (parts_.boundary.observer() != nullptr) return false;
  switch (kind) {
    case CalloutKind::SoftwareInterrupt: {
      const Slots& slots = parts_.gate.frame().slots;
      Event event;
      event.kind = EventKind::SoftwareInterrupt;
      event.vector = static_cast<uint8_t>(slots.exit_address);
      event.return_eip = Eip(slots.callout_next_eip);
      counters().events_software_interrupts++;
      parts_.boundary.deliver(event, state().pointer());
      return true;
    }
    case CalloutKind::InterruptReturn:
      return parts_.boundary.transfers().return_from_interrupt();
    case CalloutKind::RealInterruptReturn:
      return !interrupt_return(parts_.boundary.cpu(), OperandSize::Bits16, state().pointer());
    case CalloutKind::SystemEnter:
      ask_for_rings();
      return !sysenter(parts_.boundary.cpu());
    case CalloutKind::SystemExit:
      ask_for_rings();
      return !sysexit(parts_.boundary.cpu());
    case CalloutKind::Any:
    case CalloutKind::LoadEs:
    case CalloutKind::LoadCs:
    case CalloutKind::LoadSs:
    case CalloutKind::LoadDs:
    case CalloutKind::LoadFs:
    case CalloutKind::LoadGs:
    case CalloutKind::FarTransfer:
    case CalloutKind::DeviceMemory:
    case CalloutKind::Cpuid:
    case CalloutKind::Port:
      return false;
  }
  return false;
}

// The checks of the loop's top, in its order. True: the slots are those of the guest's view.
bool TranslateEngine::may_go_on_inside() {
  const GuestState& guest = state();
  if (parts_.attention.is_raised() || parts_.torture.is_due_inside()) return false;
  if (parts_.boundary.stop().is_wanted() || parts_.boundary.event_is_due()) return false;
  if (guest.activity != ActivityState::Running) return false;
  const ExecutionControl* control = parts_.boundary.control();
  if (control != nullptr && control->is_touched()) return false;
  const std::optional<CodeMode>& mode = modes_.of(guest);
  if (!mode || !may_translate_in(*mode)) return false;
  mode_ = *mode;
  const Privilege privilege = guest.privilege();
  if (privilege == Privilege::Supervisor && parts_.spaces.supervisor_needs_verification()) {
    return false;
  }
  direct_.note_privilege(privilege);
  if (privilege == Privilege::User && direct_.wants_guest()) return false;
  parts_.spaces.enter(privilege);
  if (parts_.spaces.has_pending_work()) return false;
  if (privilege == Privilege::User) map_user_fault();
  if (parts_.spaces.has_pending_work()) return false;  // a walk has set A or D in code
  prepare_slots(privilege);
  return (slots_.interrupt_waiting & guest.eflags) == 0;
}

}  // namespace ringshift

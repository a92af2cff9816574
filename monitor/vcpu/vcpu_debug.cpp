// The part of Vcpu that a debugger stops: the loop while ExecutionControl is engaged.
#include <x86intrin.h>

#include "monitor/vcpu/vcpu.h"

namespace ringshift {
// True: something has been done, and the loop begins again. False: nothing stands in the way of the
// usual engine here.
bool Vcpu::run_controlled() {
  ExecutionControl& control = *parts_.control;
  if (control.is_standing()) {
    wait_paused();
    if (control.guide() != nullptr && !control.is_standing() && control.guide()->is_at_end()) {
      control.pause(StopCause::TapeEnd);
    }
    return true;
  }
  if (control.stop_if_touched()) return true;
  if (control.is_leading() && control.guide()->lead()) {
    boundary_.continuation().forget();
    return true;
  }
  apply_changed_points();
  const GuestVirtual linear = state().code_address();
  const bool is_halted = state().activity == ActivityState::Halted;
  if ((is_halted || !control.holds_interrupts(linear)) && boundary_.deliver_interrupt()) {
    control.after(ExecutionControl::Progress::Event);
    return true;
  }
  if (is_halted) return false;
  if (control.stops_at(linear)) return true;
  // The trap engine knows no addresses that are kept out.
  const bool is_traps = engine_ == Engine::Trap && control.has_points();
  if (!is_traps && !control.is_interpreted(linear)) return false;
  execute_controlled();
  return true;
}

void Vcpu::execute_controlled() {
  parts_.interpreter.iterate_singly(true);
  interpret();
  parts_.interpreter.iterate_singly(false);
  if (parts_.deprivileged != nullptr) parts_.deprivileged->after_interpreted(state());
}

// The guest's time stands still: its clocks and its time-stamp counter go on where they were, or
// later by the stop, if time passes in it.
void Vcpu::wait_paused() {
  ExecutionControl& control = *parts_.control;
  boundary_.continuation().forget();
  control.note_paused_at(state().code_address());
  parts_.before_sleep();
  parts_.clock.stop();
  while (control.is_standing() && !boundary_.stop().is_wanted()) {
    parts_.attention.take();
    parts_.attention.drain_wakeups();
    parts_.service_host();
    if (control.is_standing() && !boundary_.stop().is_wanted()) {
      parts_.attention.sleep_until(nullptr);
    }
  }
  // It may have been taken somewhere else.
  if (control.guide() != nullptr) control.note_paused_at(state().code_address());
  state().tsc_offset -= parts_.clock.go_on();
}

// Before anything else runs: nothing translated begins at a breakpoint or reaches watched data.
void Vcpu::apply_changed_points() {
  ExecutionControl& control = *parts_.control;
  const std::optional<std::vector<GuestVirtual>> newly_kept_out = control.take_change();
  if (!newly_kept_out) return;
  boundary_.continuation().forget();
  parts_.interpreter.set_data_watcher(control.watcher());
  if (!parts_.translating) return;
  for (const GuestVirtual linear : *newly_kept_out) {
    parts_.translating->translator.cache().drop_with_code_at(linear, Boundary::safe_point());
  }
  parts_.translating->data.drop_watched();
}

}  // namespace ringshift

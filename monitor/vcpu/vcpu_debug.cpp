// The part of Vcpu that a debugger stops: what the loop does while ExecutionControl is engaged.
#include <x86intrin.h>

#include "monitor/host/host_signals.h"
#include "monitor/vcpu/vcpu.h"

namespace ringshift {
namespace {

uint32_t linear_eip(const GuestState& state) {
  return state.seg(SegmentRegister::Cs).base + state.eip;
}

}  // namespace

// True: something has been done, and the loop begins again. False: nothing stands in the way of the
// usual engine here.
bool Vcpu::run_controlled() {
  ExecutionControl& control = *parts_.control;
  GuestState& state = parts_.cpu.state;
  if (control.is_paused()) {
    wait_paused();
    return true;
  }
  if (control.stop_if_touched()) return true;
  apply_changed_points();
  const uint32_t linear = linear_eip(state);
  const bool is_halted = state.activity == ActivityState::Halted;
  if ((is_halted || !control.holds_interrupts(linear)) && deliver_interrupt()) {
    control.after_event();
    return true;
  }
  if (is_halted) return false;
  if (control.stops_at(linear)) return true;
  // Nothing is kept out of what the trap engine runs.
  const bool is_traps = config_.engine == Engine::Trap && control.has_points();
  if (!is_traps && !control.is_interpreted(linear)) return false;
  execute_controlled();
  return true;
}

void Vcpu::execute_controlled() {
  forget_continuation();
  parts_.interpreter.iterate_singly(true);
  interpret_one();
  parts_.interpreter.iterate_singly(false);
  if (parts_.deprivileged != nullptr) parts_.deprivileged->after_interpreted(parts_.cpu.state);
}

// After any instruction that the interpreter has executed. A debug trap comes after its own.
void Vcpu::note_controlled(const StepResult& step) {
  const bool faulted = step.kind == StepKind::Fault && step.fault.vector != Vector::Debug;
  parts_.control->after_instruction(faulted);
}

// The guest's time stands still: its clocks and its time-stamp counter go on where they were.
void Vcpu::wait_paused() {
  ExecutionControl& control = *parts_.control;
  forget_continuation();
  control.note_paused_at(linear_eip(parts_.cpu.state));
  parts_.before_sleep();
  parts_.clock.stop();
  const uint64_t stopped_at = __rdtsc();
  while (control.is_paused() && stop_.load(std::memory_order_relaxed) == StopReason::Running) {
    parts_.attention.take();
    parts_.attention.drain_wakeups();
    parts_.service_host();
    if (HostSignals::termination_requested()) request_stop(StopReason::Quit);
    if (control.is_paused() && stop_.load(std::memory_order_relaxed) == StopReason::Running) {
      parts_.attention.sleep_until(nullptr);
    }
  }
  parts_.cpu.state.tsc_offset -= __rdtsc() - stopped_at;
  parts_.clock.go_on();
}

// Before anything else runs: nothing translated begins at a breakpoint or reaches watched data.
void Vcpu::apply_changed_points() {
  ExecutionControl& control = *parts_.control;
  if (!control.take_change()) return;
  forget_continuation();
  parts_.interpreter.set_data_watcher(control.watcher());
  const SafePoint safe;
  for (const uint32_t linear : control.take_newly_kept_out()) {
    parts_.translator->cache().drop_with_code_at(linear, safe);
  }
  parts_.coherence->drop_watched();
}

}  // namespace ringshift

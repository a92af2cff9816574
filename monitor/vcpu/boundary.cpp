#include "monitor/vcpu/boundary.h"

#include <utility>

#include "monitor/interpreter/fpu.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {

void Boundary::interpret() {
  GuestState& guest = state();
  const Eip eip = guest.pointer();
  if (parts_.observer != nullptr) parts_.observer->before_interpreted(guest);
  if (parts_.control != nullptr && parts_.control->is_leading()) {
    parts_.control->guide()->before_instruction();
  }
  const StepResult step = parts_.interpreter.step();
  if (step.kind == StepKind::EventDue) return parts_.events->arrive();
  finish(step, eip);
  if (parts_.control != nullptr && parts_.control->is_engaged()) {
    // A debug trap comes after its instruction, so that one has been executed.
    const bool faulted = step.kind == StepKind::Fault && step.fault.vector != Vector::Debug;
    using Progress = ExecutionControl::Progress;
    parts_.control->after(faulted ? Progress::Faulted : Progress::Executed);
  }
  if (parts_.observer != nullptr) parts_.observer->after_interpreted(guest);
}

void Boundary::interpret_on() {
  constexpr uint32_t kMostAtOnce = 128;
  const bool is_watched =
      parts_.observer != nullptr || (parts_.control != nullptr && parts_.control->is_engaged());
  if (is_watched) return interpret();
  const Interpreter::PlainRun run = parts_.interpreter.run_plain(kMostAtOnce);
  if (run.fault) {
    StepResult step;
    step.kind = StepKind::Fault;
    step.fault = *run.fault;
    finish(step, state().pointer());
  } else if (run.instructions == 0) {
    interpret();
  }
}

// Does what the instruction at `eip` asks of the loop.
void Boundary::finish(const StepResult& step, Eip eip) {
  switch (step.kind) {
    case StepKind::Done:
      return;
    case StepKind::Fault:
      if (step.fault.is_external) return wait_with_x87_error();
      note_fault(step.fault);
      deliver(event_of(step, state().pointer()), state().pointer());
      return deliver_held_debug();
    case StepKind::SoftwareEvent:
      counters().events_software_interrupts++;
      deliver(event_of(step, state().pointer()), eip);
      return deliver_held_debug();
    case StepKind::Halted:
      state().activity = ActivityState::Halted;
      if (parts_.events != nullptr) parts_.events->note_halt();
      return;
    case StepKind::EventDue:
      break;  // not executed: interpret() has seen to it
    case StepKind::Unimplemented:
      return stop_.request(StopReason::Unimplemented, step.message);
  }
  UNREACHABLE();
}

// The instruction that waits is done again after each interrupt, and the guest stands at it
// meanwhile (SDM 1 8.7.2).
void Boundary::wait_with_x87_error() {
  counters().x87_errors_external++;
  parts_.cpu.x87_error->raise();
  state().activity = ActivityState::Halted;
  if (parts_.events != nullptr) parts_.events->note_halt();
}

// Translated code does not ask IGNNE#: until the error is gone the guest is interpreted.
bool Boundary::ignores_x87_error() {
  CoprocessorError* const pins = parts_.cpu.x87_error;
  if (pins == nullptr || !pins->is_ignored()) return false;
  if (!interp::x87_error_pending(state())) pins->error_gone();
  return pins->is_ignored();
}

void Boundary::note_fault(const GuestFault& fault) {
  counters().events_exceptions++;
  if (fault.vector == Vector::PageFault) {
    counters().faults_true++;
    user_fault_ = {.is_known = state().cpl == 3,
                   .is_write = (fault.error_code & kPageFaultWrite) != 0,
                   .address = GuestVirtual(fault.cr2)};
  }
  if (parts_.observer != nullptr) parts_.observer->on_guest_fault(fault, state());
}

// A #DB held off by MOV SS waits until the delivery of an event: it comes before the first
// instruction of that event's handler (SDM 3A 6.8.3).
void Boundary::deliver_held_debug() {
  GuestState& guest = state();
  if (guest.held_debug == 0 || guest.activity == ActivityState::Shutdown) return;
  GuestFault fault = GuestFault::simple(Vector::Debug);
  fault.dr6_bits = std::exchange(guest.held_debug, 0);
  deliver(Event::from_fault(fault, guest.pointer()), guest.pointer());
}

void Boundary::deliver(const Event& event, Eip instruction_eip) {
  continuation_.resume_pc = 0;
  if (parts_.frame != nullptr) {
    // Kernels rarely use the FPU: do not carry its state into the handler and back.
    parts_.frame->slots.unload_fpu();
  }
  if (parts_.delivers_quickly && transfers_.deliver(event)) return;
  if (ringshift::deliver(parts_.cpu, event, instruction_eip) == DeliveryResult::Shutdown) {
    state().activity = ActivityState::Shutdown;
  }
}

void Boundary::raise(const GuestFault& fault) {
  counters().events_exceptions++;
  deliver(Event::from_fault(fault, state().pointer()), state().pointer());
}

bool Boundary::deliver_interrupt() {
  GuestState& guest = state();
  if (parts_.interrupts.nmi_pending() && guest.nmi_blocked == 0) return deliver_nmi();
  if (!interrupt_is_pending()) return false;
  if ((guest.eflags & kFlagIf) == 0 || guest.interrupt_shadow != 0) return false;
  HypervisorInterface* hypervisor = cpu().hypervisor;
  const auto upcall = hypervisor != nullptr ? hypervisor->take_upcall() : std::nullopt;
  Event event;
  event.kind = EventKind::HardwareInterrupt;
  event.vector = upcall ? *upcall : parts_.interrupts.acknowledge();
  deliver_from_outside(event);
  return true;
}

// Not in the shadow of MOV SS: the instruction in it goes first (SDM 3A 6.8.3).
bool Boundary::deliver_nmi() {
  if (state().interrupt_shadow != 0) {
    interpret();
    return true;
  }
  parts_.interrupts.take_nmi();
  Event event;
  event.kind = EventKind::Nmi;
  event.vector = static_cast<uint8_t>(Vector::Nmi);
  deliver_from_outside(event);
  return true;
}

void Boundary::deliver_from_outside(const Event& asked) {
  Event event = asked;
  event.return_eip = state().pointer();
  counters().events_interrupts++;
  if (parts_.observer != nullptr) parts_.observer->before_interrupt(event, state());
  deliver(event, state().pointer());
}

}  // namespace ringshift

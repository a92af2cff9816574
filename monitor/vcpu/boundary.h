// Boundary: the guest between two instructions, and the operations there: interpret the next
// instruction, deliver an event, ask the machine to stop. The loop and every engine come back to
// it, and share the state that one leaves for the next. Owns: the stop request, where translated
// code goes on, the last user page fault. Keeps: V1 V3. Makes the only SafePoint outside tests. See
// docs/faults-and-exits.md.
#pragma once

#include <cstdint>
#include <string>

#include "devices/interrupts/processor_interrupts.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/vcpu/engines/quick_transfers.h"
#include "monitor/vcpu/events/event_positions.h"
#include "monitor/vcpu/execution_control.h"
#include "monitor/vcpu/execution_observer.h"
#include "monitor/vcpu/stop_request.h"
#include "translator/frame.h"
#include "translator/safe_point.h"
#include "translator/translator.h"

namespace ringshift {

// The point at which translated code goes on, as the last exit left it.
struct Continuation {
  uint64_t resume_pc = 0;        // host address in the same fragment; 0: look EIP up
  Translator::PendingLink link;  // the branch to be connected to the translation found at EIP
  bool pending_jump = false;     // an indirect miss: enter the translation found in the jump table
  // The guest moves on without translated code, or its code may be gone.
  void forget() { *this = Continuation{}; }
};

// The last page fault that user code got. Its kernel has most likely made the page present by the
// time the code goes on, and mapping it then saves the host signal of finding it absent.
struct UserFault {
  bool is_known = false;
  bool is_write = false;
  GuestVirtual address;
};

struct BoundaryParts {
  CpuContext& cpu;
  Interpreter& interpreter;
  ProcessorInterrupts interrupts;
  Frame* frame = nullptr;                 // null: nothing is translated
  bool delivers_quickly = false;          // by way of QuickTransfers where it can
  ExecutionControl* control = nullptr;    // null: no debugger
  EventPositions* events = nullptr;       // null: events are not counted
  ExecutionObserver* observer = nullptr;  // null: nobody watches
};

class Boundary {
 public:
  explicit Boundary(const BoundaryParts& parts)
      : parts_(parts), state_(parts.cpu.state), transfers_(parts.cpu) {}

  [[nodiscard]] GuestState& state() const { return state_; }
  [[nodiscard]] CpuContext& cpu() const { return parts_.cpu; }
  [[nodiscard]] Interpreter& interpreter() const { return parts_.interpreter; }
  [[nodiscard]] EventPositions* events() const { return parts_.events; }
  [[nodiscard]] ExecutionControl* control() const { return parts_.control; }
  [[nodiscard]] ExecutionObserver* observer() const { return parts_.observer; }
  [[nodiscard]] bool interrupt_is_pending() const {
    const bool by_controller = parts_.interrupts.pending();
    HypervisorInterface* hypervisor = parts_.cpu.hypervisor;
    return hypervisor == nullptr ? by_controller : hypervisor->interrupts(by_controller);
  }
  // The guest stands before an event that somebody has to look at first.
  [[nodiscard]] bool event_is_due() const {
    return parts_.events != nullptr && parts_.events->has_arrived();
  }

  // Executes the instruction at EIP, and does its requests: an event, a halt, a stop.
  void interpret();
  // The same, and those after it for as long as nobody needs to look between them; at most some
  // microseconds.
  void interpret_on();
  // Delivers an event raised by the instruction at `instruction_eip` (deliver of
  // monitor/cpu/event_delivery.h).
  void deliver(const Event& event, Eip instruction_eip);
  // An exception at EIP that no instruction of the interpreter's has raised.
  void raise(const GuestFault& fault);
  // IGNNE# is asserted: instructions that wait for an x87 error run in spite of it, by
  // interpretation.
  [[nodiscard]] bool ignores_x87_error();
  // Delivers an NMI or a hardware interrupt if one is due. True: the guest's state has changed.
  [[nodiscard]] bool deliver_interrupt();
  [[nodiscard]] QuickTransfers& transfers() { return transfers_; }

  [[nodiscard]] StopRequest& stop() { return stop_; }
  [[nodiscard]] Continuation& continuation() { return continuation_; }
  [[nodiscard]] UserFault& user_fault() { return user_fault_; }
  // For the loop and its engines, when no translated code is on the stack (T3).
  [[nodiscard]] static SafePoint safe_point() { return {}; }

 private:
  void finish(const StepResult& step, Eip eip);
  void note_fault(const GuestFault& fault);
  void wait_with_x87_error();
  void deliver_held_debug();
  [[nodiscard]] bool deliver_nmi();
  void deliver_from_outside(const Event& event);

  BoundaryParts parts_;
  GuestState& state_;
  QuickTransfers transfers_;
  StopRequest stop_;
  Continuation continuation_;
  UserFault user_fault_;
};

}  // namespace ringshift

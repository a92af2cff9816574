// Interpreter: one guest instruction, by the book. The fallback for rare instructions, and the
// second oracle. Owns: a decode cache (verified against the bytes on each use, so it needs no
// invalidation). Keeps: V3. See docs/faults-and-exits.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "shadowmmu/base/guest_fault.h"
#include "translator/fpu_unit_runner.h"

namespace ringshift {

enum class StepKind : uint8_t {
  Done,           // one instruction (or one REP iteration batch) has completed; eip is the next one
  Fault,          // `fault` is to be delivered with eip unchanged
  SoftwareEvent,  // INT n/INT3/INTO/INT1: deliver `vector` (eip still at the instruction; what
                  // follows it is at return_eip)
  Halted,         // HLT executed with success; eip is the next instruction
  EventDue,       // nothing has been done: the instruction is an event, and the budget is used up
  Unimplemented,  // stops the machine loudly: `message` names instruction, bytes, where (V3)
};

struct StepResult {
  StepKind kind = StepKind::Done;
  GuestFault fault;
  uint8_t vector = 0;                  // SoftwareEvent
  bool is_software_exception = false;  // SoftwareEvent: INT3/INTO rather than INT n
  Eip return_eip;                      // SoftwareEvent
  std::string message;                 // Unimplemented
};

// The event that a step asks to be delivered. `eip`: where the step has left the guest. Pre: Fault
// or SoftwareEvent.
[[nodiscard]] Event event_of(const StepResult& step, Eip eip);

// A watcher that is told of each access of an instruction to its memory operands, before it is
// made. The processor's own accesses (descriptors, task states, stack frames of events) are none of
// them.
class DataWatcher {
 public:
  virtual ~DataWatcher() = default;
  virtual void on_data_access(GuestVirtual address, uint32_t length, AccessKind kind) = 0;
};

class EventCounter;

class Interpreter {
 public:
  Interpreter(CpuContext& cpu, FpuUnitRunner& fpu);
  ~Interpreter();
  // Executes the instruction at CS:EIP. REP string instructions run at most a bounded number of
  // iterations (kRepBatch) and then return Done with EIP still at the instruction, so that
  // interrupts get in. TF and data/instruction breakpoints: a single-step trap is returned as Fault
  // #DB with eip at the next instruction and dr6_bits set, state committed (it is a trap: SDM
  // 3A 17.3.1.4).
  [[nodiscard]] StepResult step();

  struct PlainRun {
    uint32_t instructions = 0;  // that have completed
    MaybeFault fault;           // of the one after them: to be delivered with eip unchanged
  };
  // Executes instructions from CS:EIP on, for as long as nobody needs to look between them: none
  // changes the state that is checked before an instruction (mode, interrupt flag, interrupt
  // shadow, traps), none has reached a device, and all are decoded already. Stops after `most`; {0,
  // no fault}: step() is to do it.
  [[nodiscard]] PlainRun run_plain(uint32_t most);

  // From now on a step is one iteration of a REP string instruction: for callers that compare
  // boundaries.
  void iterate_singly(bool singly = true);
  // Null: nobody watches.
  void set_data_watcher(DataWatcher* watcher);

  // From now on events are counted (translator/event_rule.h). Null: they are not.
  void set_event_counter(EventCounter* events);

  static constexpr uint32_t kRepBatch = 4096;
  // The same for INS and OUTS: one access to a port may have a device move or clear a megabyte or
  // more.
  static constexpr uint32_t kPortBatch = 16;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringshift

// HypervisorInterface: a processor's interface to its hypervisor: registers that no real one has,
// calls, and events in the place of interrupts. Declared here, because RDMSR and WRMSR lead there,
// and implemented in monitor/paravirt. See docs/paravirt.md.
#pragma once

#include <cstdint>
#include <optional>

#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

struct CpuContext;

// The effect of a call on the guest.
struct HypervisorCall {
  MaybeFault fault;        // to be delivered at the instruction that called; nothing has changed
  bool has_moved = false;  // it goes on at the state's EIP, and not after that instruction
  bool halts = false;      // it waits for an event
};

class HypervisorInterface {
 public:
  virtual ~HypervisorInterface() = default;
  // RDMSR of a register that the processor lacks. Nothing: there is no such register, #GP(0).
  [[nodiscard]] virtual std::optional<uint64_t> read_msr(uint32_t index) = 0;
  // WRMSR to one. False: #GP(0), and nothing has changed.
  [[nodiscard]] virtual bool write_msr(uint32_t index, uint64_t value) = 0;
  // The guest has set its time-stamp counter.
  virtual void on_time_stamp_set(uint64_t before, uint64_t after) = 0;

  // Is WRMSR to this register a call?
  [[nodiscard]] virtual bool is_call(uint32_t /*index*/) const { return false; }
  // Arguments and results are in the registers. Pre: CPL 0, and is_call().
  [[nodiscard]] virtual HypervisorCall call(CpuContext& /*cpu*/) { return {}; }

  // Would the guest be interrupted now, if its IF were set? `by_controller`: its interrupt
  // controller has a request.
  [[nodiscard]] virtual bool interrupts(bool by_controller) { return by_controller; }
  // The vector of an upcall that is due, which counts as made. Nothing: the controller's is taken.
  // Pre: interrupts().
  [[nodiscard]] virtual std::optional<uint8_t> take_upcall() { return std::nullopt; }
};

}  // namespace ringshift

// MachineTarget: a running machine as debuggers see it (DebugTarget).
// Owns: nothing; a machine outlives it. Memory is read without a trace (no A and D bits, no
// device), and written as DMA would: what was translated from it goes (M2). Called by: debugger.
// See docs/debugging.md.
#pragma once

#include <string>

#include "monitor/debug/debug_target.h"
#include "monitor/machine/machine.h"

namespace ringshift::debug {

class MachineTarget final : public DebugTarget {
 public:
  MachineTarget(Machine& machine, ExecutionControl& control)
      : machine_(machine), control_(control) {}

  [[nodiscard]] const GuestState& state() const override { return machine_.state(); }
  [[nodiscard]] ExecutionControl& control() override { return control_; }
  [[nodiscard]] size_t read_memory(uint32_t linear, std::span<uint8_t> bytes) override;
  [[nodiscard]] bool write_memory(uint32_t linear, std::span<const uint8_t> bytes) override;
  [[nodiscard]] bool set_register(const Register& which, std::span<const uint8_t> value) override;
  [[nodiscard]] std::string run_command(const std::string& line) override;
  void quit() override { machine_.request_stop(StopReason::Quit); }

 private:
  [[nodiscard]] bool set_control_register(unsigned number, uint32_t value);
  Machine& machine_;
  ExecutionControl& control_;
};

}  // namespace ringshift::debug

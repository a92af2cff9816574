// MachineTarget: a running machine as debuggers see it (DebugTarget). A machine outlives it. Memory
// is read without a trace (no A and D bits, no device), and written as DMA would: translations of
// the written bytes are dropped (M2). See docs/debugging.md.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "monitor/debug/control_target.h"
#include "monitor/debug/debug_target.h"
#include "monitor/machine/machine.h"

namespace ringshift::debug {

class MachineTarget final : public DebugTarget {
 public:
  // around: the object that answers other lines of the prompt. is_attended: a user would see that
  // the guest stands.
  MachineTarget(Machine& machine, ExecutionControl& control, ControlTarget& around,
                std::function<bool()> is_attended);

  [[nodiscard]] const GuestState& state() const override { return machine_.state(); }
  [[nodiscard]] ExecutionControl& control() override { return control_; }
  [[nodiscard]] size_t read_memory(GuestVirtual linear, std::span<uint8_t> bytes) override;
  [[nodiscard]] bool write_memory(GuestVirtual linear, std::span<const uint8_t> bytes) override;
  [[nodiscard]] bool set_register(const Register& which, std::span<const uint8_t> value) override;
  [[nodiscard]] std::string run_command(const std::string& line) override;
  [[nodiscard]] std::vector<std::string> completions(const std::string& line) override;
  [[nodiscard]] bool can_go_back() override { return machine_.travel() != nullptr; }
  [[nodiscard]] bool go_back(Back how) override;
  [[nodiscard]] bool is_travelling() override;
  void stop_travel() override;
  void quit() override { machine_.request_stop(StopReason::Quit); }

 private:
  // The guest's inputs are on a tape, so a debugger may not change the guest.
  [[nodiscard]] bool is_recorded() const { return machine_.config().tape != nullptr; }
  [[nodiscard]] bool set_control_register(unsigned number, uint32_t value);
  Machine& machine_;
  ExecutionControl& control_;
  ControlTarget& around_;
};

}  // namespace ringshift::debug

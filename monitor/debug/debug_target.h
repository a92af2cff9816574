// DebugTarget: the operations that a debugger may do on the machine, by any protocol. Declared here
// for gdb_session, commands and prompt; implemented by machine_target, and by a fake in tests. All
// of it is called between two guest instructions. See docs/debugging.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "monitor/debug/gdb/registers.h"
#include "monitor/vcpu/execution_control.h"
#include "translator/guest_state.h"

namespace ringshift::debug {

class DebugTarget {
 public:
  virtual ~DebugTarget() = default;
  [[nodiscard]] virtual const GuestState& state() const = 0;
  [[nodiscard]] virtual ExecutionControl& control() = 0;
  // How many bytes could be read, from the first on: up to a page that is not
  // present, or is a device's (reading it might change it).
  [[nodiscard]] virtual size_t read_memory(GuestVirtual linear, std::span<uint8_t> bytes) = 0;
  // All or nothing, whatever the guest's tables say of writing.
  [[nodiscard]] virtual bool write_memory(GuestVirtual linear, std::span<const uint8_t> bytes) = 0;
  // False: not this register, or not this value.
  [[nodiscard]] virtual bool set_register(const Register& which,
                                          std::span<const uint8_t> value) = 0;
  // A line of commands.h; the answer as lines of text.
  [[nodiscard]] virtual std::string run_command(const std::string& line) = 0;
  // For a replay only: the guest goes back to before its last instruction, or to the last
  // breakpoint or change of watched data, and stops there. False: this is not a replay that can go
  // back.
  enum class Back : uint8_t { Step, Continue };
  [[nodiscard]] virtual bool can_go_back() { return false; }
  [[nodiscard]] virtual bool go_back(Back /*how*/) { return false; }
  // True: the replay is on its way to a place, asked by go_back() or by a command.
  [[nodiscard]] virtual bool is_travelling() { return false; }
  virtual void stop_travel() {}
  // The words that could stand for the last word of this beginning of a line.
  [[nodiscard]] virtual std::vector<std::string> completions(const std::string& /*line*/) {
    return {};
  }
  // The machine ends before the next instruction.
  virtual void quit() = 0;
};

}  // namespace ringshift::debug

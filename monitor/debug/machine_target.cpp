#include "monitor/debug/machine_target.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "monitor/cpu/control_registers.h"
#include "monitor/debug/gdb/quiet_memory.h"
#include "monitor/debug/prompt/commands.h"
#include "monitor/debug/prompt/monitor_commands.h"

namespace ringshift::debug {

MachineTarget::MachineTarget(Machine& machine, ExecutionControl& control, ControlTarget& around,
                             std::function<bool()> is_attended)
    : machine_(machine), control_(control), around_(around) {
  if (machine_.travel() == nullptr) return;
  machine_.travel()->set_debugger(
      [this](GuestVirtual linear, std::span<uint8_t> bytes) { return read_memory(linear, bytes); },
      std::move(is_attended));
}

bool MachineTarget::go_back(Back how) {
  if (machine_.travel() == nullptr) return false;
  if (how == Back::Step) {
    machine_.travel()->step_back();
  } else {
    machine_.travel()->continue_back();
  }
  return true;
}

bool MachineTarget::is_travelling() {
  return machine_.travel() != nullptr && machine_.travel()->is_travelling();
}

void MachineTarget::stop_travel() {
  if (machine_.travel() != nullptr) machine_.travel()->give_up();
}

size_t MachineTarget::read_memory(GuestVirtual linear, std::span<uint8_t> bytes) {
  return read_linear_quietly(machine_, linear, bytes);
}

bool MachineTarget::write_memory(GuestVirtual linear, std::span<const uint8_t> bytes) {
  if (is_recorded()) return false;
  PhysicalMemory& memory = machine_.processor().cpu().memory.physical();
  // First all questions, then all writes.
  for (const bool writes : {false, true}) {
    size_t done = 0;
    while (done < bytes.size()) {
      const GuestVirtual at = linear + static_cast<uint32_t>(done);
      const size_t count = std::min<size_t>(bytes.size() - done, kPageSize - at.offset_in_page());
      const std::optional<GuestPhysical> physical = translate_quietly(machine_, at);
      if (!physical || !memory.is_ram(GuestPhysicalPage::of(*physical))) return false;
      if (writes) memory.write(*physical, &bytes[done], static_cast<uint32_t>(count));
      done += count;
    }
  }
  return true;
}

bool MachineTarget::set_control_register(unsigned number, uint32_t value) {
  CpuContext& cpu = machine_.processor().cpu();
  switch (number) {
    case 0:
      return !write_cr0(cpu, value);
    case 2:
      cpu.state.cr2 = value;
      return true;
    case 3:
      return !write_cr3(cpu, value);
    default:
      return !write_cr4(cpu, value);
  }
}

bool MachineTarget::set_register(const Register& which, std::span<const uint8_t> value) {
  GuestState& state = machine_.state();
  std::array<uint8_t, kLargestRegister> now;
  const std::span<uint8_t> old = std::span(now).first(which.bytes());
  read_register(state, which, old);
  if (std::equal(old.begin(), old.end(), value.begin(), value.end())) return true;
  if (is_recorded()) return false;
  uint32_t number = 0;
  std::memcpy(&number, value.data(), sizeof(number));
  switch (which.kind) {
    case RegisterClass::Control:
      return set_control_register(which.index, number);
    case RegisterClass::Debug:
      return !write_debug_register(machine_.processor().cpu(), which.index, number);
    case RegisterClass::InstructionPointer:
      // A debugger that moves a halted processor wants it to execute the code there.
      if (state.activity == ActivityState::Halted) state.activity = ActivityState::Running;
      state.interrupt_shadow = 0;
      break;
    default:
      break;
  }
  return write_register(&state, which, value);
}

std::vector<std::string> MachineTarget::completions(const std::string& line) {
  return debug::completions(around_, line);
}

std::string MachineTarget::run_command(const std::string& line) {
  return run_monitor_line(around_, line);
}

}  // namespace ringshift::debug

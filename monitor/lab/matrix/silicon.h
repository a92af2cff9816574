// Silicon: one 32-bit instruction on this machine's processor, deprivileged, in a child process.
// Owns: nothing that outlives a run; the child holds two low mappings and ends at the first signal.
// SDM 3A 9.8.5.3 (compatibility mode); Linux's CS 0x23. See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "monitor/lab/matrix/instructions.h"

namespace ringshift::lab {

// The state that can be seen when it has stopped.
struct SiliconOutcome {
  bool ran = false;  // false: `problem` says why there is nothing to see
  std::string problem;
  bool trapped = false;  // a signal at the instruction itself, or a system call caught
  bool is_system_call = false;
  uint32_t vector = 0;  // of the exception that ended it (SDM 3A 6.3.1)
  uint32_t error_code = 0;
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint32_t, kGprCount> gpr{};
  std::array<uint16_t, kSegmentCount> selector{};
  std::vector<uint8_t> data;  // kDataBytes
};

// Can this host run 32-bit code at all? Empty if it can, otherwise why not.
[[nodiscard]] std::string why_no_silicon();

[[nodiscard]] SiliconOutcome run_on_silicon(const Instruction& instruction);

// Processor cycles for one execution, mean of some; zero if it cannot be measured.
[[nodiscard]] uint32_t cycles_on_silicon(const Instruction& instruction);

// Does CPUID show user-mode instruction prevention (leaf 7, ECX bit 2)?
[[nodiscard]] bool processor_has_umip();

// Registers and memory a run begins with, for every kind of processor.
[[nodiscard]] std::array<uint32_t, kGprCount> initial_registers(const Instruction& instruction);
[[nodiscard]] std::vector<uint8_t> initial_data(const Instruction& instruction);
[[nodiscard]] std::vector<uint8_t> initial_code(const Instruction& instruction);

}  // namespace ringshift::lab

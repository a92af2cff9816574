// Virtual processor: one instruction on the virtual CPU, interpreted or translated, at a ring.
// Owns: a small machine: RAM, page tables, descriptor tables, interpreter, translator. One run
// each. The interpreter at CPL 0 is the truth that the others are compared with. See
// docs/lab.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "monitor/cpu/cpu_model.h"
#include "monitor/lab/matrix/instructions.h"
#include "translator/guest_state.h"

namespace ringshift::lab {

// One resource of control that a run may find otherwise than usual.
enum class Resource : uint8_t {
  None,
  InterruptFlag,
  IoPrivilege,
  Gdtr,  // the same descriptors somewhere else
  Idtr,  // other gates somewhere else
  Ldtr,
  Tr,
  Descriptors,  // the same place, other contents
  Cr0,
  Cr3,
  Cr4,
  DebugRegisters,
  Clock,  // the time-stamp counter
  Msr,
  CpuModel,
  Ring,  // CPL 3
};
inline constexpr size_t kResourceCount = 16;
[[nodiscard]] const char* resource_name(Resource resource);

struct VirtualOutcome {
  bool ran = false;
  std::string problem;
  bool faulted = false;  // the processor raised an exception at the instruction
  bool software_event = false;
  uint32_t vector = 0;
  uint32_t error_code = 0;
  GuestState state;           // after it, and after the delivery of its fault
  std::vector<uint8_t> data;  // the data area
  std::vector<uint8_t> ram;   // all of it
  // Effects beyond registers and memory.
  bool halted = false;
  uint32_t port_accesses = 0;
  uint32_t cr3_loads = 0;
  uint32_t pages_invalidated = 0;
};

// The state an instruction starts from (before any Resource is changed).
[[nodiscard]] GuestState initial_state(const Instruction& instruction);

[[nodiscard]] VirtualOutcome run_interpreted(const Instruction& instruction, Resource changed);
// Through the vCPU loop and the translator, at CPL 0.
[[nodiscard]] VirtualOutcome run_translated(const Instruction& instruction);

}  // namespace ringshift::lab

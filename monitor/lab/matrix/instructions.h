// Instructions of the laboratory: one 32-bit instruction each, with the state it is run from. Owns:
// a constant table of the instructions to run; nothing here says how any of them behaves, that is
// measured. Facts: Robin and Irvine 2000, table 2 and section 4; SDM 2A, 2B. See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "translator/guest_state.h"

namespace ringshift::lab {

// The addresses of code and data: the same linear addresses on the virtual machine and on the
// processor.
inline constexpr uint32_t kCodeBase = 0x10000000;
inline constexpr uint32_t kCodeBytes = 0x2000;
inline constexpr uint32_t kDataBase = 0x20000000;
inline constexpr uint32_t kDataBytes = 0x4000;
inline constexpr uint32_t kOperand = kDataBase + 0x1000;  // EBX, ESI, EDI: a memory operand
inline constexpr uint32_t kStack = kDataBase + 0x3000;    // ESP
inline constexpr uint32_t kTarget = kCodeBase + 0x1000;   // where transfers of control go
// These bytes end a run wherever it arrives: OUT 0xf4, AL. A machine's port stops, CPL 3 gets #GP.
inline constexpr std::array<uint8_t, 2> kEndBytes = {0xe6, 0xf4};

// Selectors of the virtual machine's GDT. The host has descriptors of its own under most of them.
inline constexpr uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x1b, kData3 = 0x23,
                          kFreeTss = 0x28, kThread = 0x33, kLdt = 0x40, kTss = 0x48,
                          kOtherCode0 = 0x58;

enum class Group : uint8_t {
  RobinIrvine,  // the seventeen of 2000: sensitive and unprivileged on the Pentium
  Later,        // came, or became a question, after them
  Privileged,   // for contrast
  Innocuous,    // for contrast
};
[[nodiscard]] const char* group_name(Group group);

struct Instruction {
  std::string name;
  std::string form;     // in assembly
  std::string purpose;  // its use in software
  Group group = Group::Innocuous;
  std::vector<uint8_t> code;
  // EAX, ECX, EDX; the other registers are those of the constants above.
  std::array<uint32_t, 3> registers{};
  bool virtual_if = false;           // IF of the virtual machine at the start; the host's is set
  std::vector<uint32_t> on_stack;    // from ESP upwards
  std::vector<uint32_t> in_operand;  // from kOperand upwards
  bool enters_host_kernel = false;   // run on the processor only where system calls can be caught
  bool leaves_ring0 = false;         // goes on at CPL 3, on pages of the user
  bool has_umip = false;             // SDM 3A 2.5: one of the five that CR4.UMIP makes #GP
};

[[nodiscard]] const std::vector<Instruction>& instructions();

}  // namespace ringshift::lab

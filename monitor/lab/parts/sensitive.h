// Sensitive: the instructions of a kernel that a monitor has to care about, and their names.
// Segment moves, far transfers and control-register moves share mnemonics with plain ones, hence
// names of our own. See docs/lab.md, SDM 2A and 2B.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "translator/sensitivity.h"
#include "translator/translation_unit.h"

namespace ringshift::lab {

inline constexpr size_t kTreatments = static_cast<size_t>(Treatment::Interpret) + 1;
using ByTreatment = std::array<uint64_t, kTreatments>;

struct ConcernedInstruction {
  Concern concern = Concern::None;
  std::string name;  // "MOV Sreg, r", "POPF", "CLI"; empty for None
};

// "FXSAVE"
[[nodiscard]] std::string mnemonic_of(const GuestInstruction& instruction);
[[nodiscard]] ConcernedInstruction concern_of(const GuestInstruction& instruction);
// The treatment that a machine's translator gives it in the kernel.
[[nodiscard]] Treatment treatment_of(const GuestInstruction& instruction);

}  // namespace ringshift::lab

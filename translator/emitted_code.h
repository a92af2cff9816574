// EmittedCode: emit's result for a unit: host bytes, the way back from each of them, open links.
// Owns: values; transient, until publish copies them into the arena and a Fragment.
#pragma once

#include <cstdint>
#include <vector>

#include "shadowmmu/base/address.h"

namespace ringshift {

// The contents of host registers, beyond guest registers in place, when a fault strikes at a point.
enum class RecoveryKind : uint8_t {
  Boundary,      // restart the instruction at guest_eip
  EipInAddress,  // guest EIP is in R8D (an indirect branch under way)
  Counted,       // as Boundary, but the instruction has been counted as an event already
  SwappedHighA,  // AL and AH are exchanged (an instruction with AH beside a REX prefix)
  SwappedHighC,
  SwappedHighD,
  SwappedHighB,
  StringSource,       // RSI holds a host address of the window
  StringDestination,  // RDI does
  StringBoth,
  RepeatSource,  // the same, and a part of ECX is in Slots::repeats_held_back
  RepeatDestination,
  RepeatBoth,
};
inline constexpr RecoveryKind kLastRecoveryKind = RecoveryKind::RepeatBoth;

// Valid from host_offset up to the next point's.
struct RecoveryPoint {
  uint32_t host_offset = 0;
  Eip guest_eip;
  RecoveryKind kind = RecoveryKind::Boundary;
  bool operator==(const RecoveryPoint&) const = default;
};

// A direct branch: rel32 at patch_offset, to its own cold stub until the link is made.
struct EmittedLink {
  uint32_t patch_offset = 0;
  uint32_t stub_offset = 0;
  uint32_t number_offset = 0;  // imm32 in the stub: the link number; 0 if it goes through the table
  Eip destination_eip;
};

// A 32-bit field that changes when the code is to run at another host address, or to stand for the
// same guest bytes at another linear address.
enum class RelocationKind : uint8_t {
  EipPlain,    // a guest EIP
  EipNegated,  // minus one
  ToStub,      // displacement from the field's end to code outside the fragment
};
struct Relocation {
  uint32_t offset = 0;
  RelocationKind kind = RelocationKind::EipPlain;
};

// Where each guest instruction's host code begins (for dumps and golden tests).
struct InstructionStart {
  uint32_t host_offset = 0;
  uint32_t index = 0;
};

struct EmittedCode {
  std::vector<uint8_t> bytes;
  uint32_t indirect_entry = 0;  // verifies R8D against the fragment's EIP
  uint32_t body = 0;
  uint32_t cold = 0;  // exit stubs begin here
  std::vector<RecoveryPoint> recovery;
  std::vector<EmittedLink> links;
  std::vector<Relocation> relocations;  // all but those of `links` and of their numbers
  std::vector<InstructionStart> starts;
};

}  // namespace ringshift

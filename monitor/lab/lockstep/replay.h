// Replay: finds the first wrong instruction on a stretch on which a deprivileged processor went
// wrong. A process for deprivileged code while it looks. An instruction that traps is not wrong,
// since a monitor decides. See docs/lab.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "monitor/lab/lockstep/follower.h"

namespace ringshift::lab {

struct WrongInstruction {
  uint64_t steps = 0;  // right ones before it, on this way
  uint32_t eip = 0;
  std::string name;
  std::string what;  // of registers, control and memory is unlike
};

struct WrongSearch {
  std::optional<WrongInstruction> wrong;
  uint64_t steps = 0;        // taken on this way
  uint64_t executed = 0;     // sensitive instructions that the processor executed as well
  std::string not_executed;  // why the last one that it did not execute was not; empty: all were
};

// The follower goes back to its mark and forward again, at most so many instructions and so long.
// No wrong one if none of the sensitive instructions on the way does anything else on the
// processor.
[[nodiscard]] WrongSearch find_wrong(Follower& follower, uint64_t steps, double seconds);

}  // namespace ringshift::lab

// StateDigest: a machine between two instructions in one line, so that two runs can be compared:
// how many events it has come to, and hashes of its registers and of its RAM. See
// docs/exact-execution.md.
#pragma once

#include <cstdint>
#include <string>

namespace ringshift {

class Machine;

struct StateDigest {
  uint64_t events = 0;  // 0 where they are not counted
  uint64_t registers = 0;
  uint64_t memory = 0;
  bool operator==(const StateDigest&) const = default;

  // "events=123 registers=0123456789abcdef memory=0123456789abcdef"
  [[nodiscard]] std::string text() const;
};

// Call on the thread that runs the machine, outside of guest code. The processor's registers are
// those that a saved machine has; the hash of RAM is over all of it, and 0 without.
[[nodiscard]] StateDigest digest_of(Machine& machine, bool with_memory = true);

}  // namespace ringshift

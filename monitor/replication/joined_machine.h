// JoinedMachine: a machine that is brought to a backup while it runs, as both sides see it. vCPU
// thread only, outside of guest code. See docs/replication.md, "A backup that joins".
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "monitor/memory/physical_memory.h"
#include "monitor/replay/input_tape.h"

namespace ringshift {

class JoinedMachine {
 public:
  virtual ~JoinedMachine() = default;
  [[nodiscard]] virtual PhysicalMemory& physical_memory() = 0;
  [[nodiscard]] virtual TapePosition position() const = 0;
  // Takes all of the machine's state but RAM, with the input on its way to the guest. `with_ram`
  // runs at the same moment, and the clock stands. Cached parts of memory are given up, since the
  // other side begins without them. False with one line in *error: it cannot be brought as it is.
  [[nodiscard]] virtual bool take_moment(const std::function<bool()>& with_ram,
                                         std::vector<uint8_t>* state, std::string* error) = 0;
  // Becomes that machine, at that position; RAM is there already. False with one line in *error:
  // the machine is of no use any more.
  [[nodiscard]] virtual bool load_moment(std::span<const uint8_t> state, const TapePosition& at,
                                         std::string* error) = 0;
  // True: somebody wants the machine to end.
  [[nodiscard]] virtual bool is_ending() const = 0;
};

}  // namespace ringshift

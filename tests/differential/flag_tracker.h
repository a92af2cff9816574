// FlagTracker: the flags that are undefined at a point of a case, instruction by instruction. Owns:
// one mask. Reasons: undefined_flags.def.
#pragma once

#include <cstdint>

#include "translator/decode.h"
#include "translator/guest_state.h"

namespace ringshift::differential {

class FlagTracker {
 public:
  // Does the instruction depend on what the manual leaves undefined, so that runs may differ?
  [[nodiscard]] bool allows(const GuestInstruction& instruction, const GuestState& before) const;
  void apply(const GuestInstruction& instruction, const GuestState& before);
  [[nodiscard]] uint32_t undefined() const { return undefined_; }

 private:
  uint32_t undefined_ = 0;
};

}  // namespace ringshift::differential

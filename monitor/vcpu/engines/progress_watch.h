// ProgressWatch: finds an instruction that faults for ever, since the host takes back one page of
// it for each that it gives. The caller then interprets it, which needs no page in a window. Owns:
// a copy of the guest's registers at the last fault. See docs/faults-and-exits.md.
#pragma once

#include <array>
#include <cstdint>

#include "translator/guest_state.h"

namespace ringshift {

class ProgressWatch {
 public:
  // Called at each fault that a page would mend. True: the guest has faulted in the same state once
  // too often.
  [[nodiscard]] bool is_stuck(const GuestState& state) {
    const bool is_same = state.eip == eip_ && state.gpr == gpr_;
    repeats_ = is_same ? repeats_ + 1 : 0;
    eip_ = state.eip;
    gpr_ = state.gpr;
    if (repeats_ < kMost) return false;
    repeats_ = 0;
    return true;
  }

 private:
  // No instruction touches as many pages.
  static constexpr unsigned kMost = 16;
  uint32_t eip_ = 0;
  std::array<uint32_t, kGprCount> gpr_{};
  unsigned repeats_ = 0;
};

}  // namespace ringshift

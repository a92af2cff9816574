// Recovery: host PC in a fragment -> the exact guest instruction boundary and its registers. Pure
// but for the state it corrects. Any host instruction of a fragment has an answer. Keeps: T4.
#pragma once

#include <cstdint>

#include "translator/fragment.h"
#include "translator/frame.h"

namespace ringshift {

// The point in force at `host_offset` bytes into the fragment. Pre: host_offset < fragment.size.
[[nodiscard]] const RecoveryPoint& recovery_point(const std::vector<RecoveryPoint>& points,
                                                  uint32_t host_offset);

// The same with the fragment's own EIPs.
[[nodiscard]] RecoveryPoint recovery_point(const Fragment& fragment, uint32_t host_offset);

// The host offset at which to enter again to run the instruction at host_offset anew: its first
// host instruction.
[[nodiscard]] uint32_t resume_offset(const std::vector<RecoveryPoint>& points,
                                     uint32_t host_offset);

// state's general registers hold the host registers as the gate saved them; makes them, and EIP,
// the guest's at the boundary `point` describes. address_register: R8D when the code stopped.
void recover(const RecoveryPoint& point, uint32_t address_register, const Slots& slots,
             GuestState* state);

}  // namespace ringshift

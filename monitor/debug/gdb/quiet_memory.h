// QuietMemory: reads guest memory without a trace: no A and D bits are set, and no device is read.
// See docs/debugging.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "monitor/machine/machine.h"

namespace ringshift::debug {

// The physical address of a linear one at this moment, without setting A and D.
[[nodiscard]] std::optional<GuestPhysical> translate_quietly(Machine& machine,
                                                             GuestVirtual address);
// Returns how many bytes could be read, from the first on: up to an address that is not there, or
// is a device's.
[[nodiscard]] size_t read_linear_quietly(Machine& machine, GuestVirtual linear,
                                         std::span<uint8_t> bytes);
[[nodiscard]] size_t read_physical_quietly(Machine& machine, GuestPhysical address,
                                           std::span<uint8_t> bytes);

}  // namespace ringshift::debug

// Hash: many bytes as one number, to tell whether they have changed. Not proof against somebody who
// looks for collisions: what depends on it may be wrong only for the guest that made them.
#pragma once

#include <cstdint>
#include <span>

namespace ringshift {

// `seed`: what else is to be told apart.
[[nodiscard]] uint64_t hash_bytes(std::span<const uint8_t> bytes, uint64_t seed);

}  // namespace ringshift

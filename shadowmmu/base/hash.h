// Hash: many bytes as one number, to tell whether they have changed. Not proof against somebody who
// looks for collisions: a wrong decision by it may harm only the guest that made them.
#pragma once

#include <cstdint>
#include <span>

namespace ringshift {

// `seed`: anything else that is to be told apart.
[[nodiscard]] uint64_t hash_bytes(std::span<const uint8_t> bytes, uint64_t seed);

}  // namespace ringshift

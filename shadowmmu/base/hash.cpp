#include "shadowmmu/base/hash.h"

#include <xxh_x86dispatch.h>

namespace ringshift {

uint64_t hash_bytes(std::span<const uint8_t> bytes, uint64_t seed) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  // A seed of its own would cost XXH3 a table at each call.
  const uint64_t mixed = (XXH3_64bits(bytes.data(), bytes.size()) ^ seed) * kMultiplier;
  return mixed ^ (mixed >> 32);
}

}  // namespace ringshift

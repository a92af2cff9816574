// Hash: many bytes as one number, to tell whether they have changed. Owns: nothing; pure. Not proof
// against somebody who looks for collisions: what depends on it may be wrong only for the guest
// that made them. Called by: coherence, the verdicts on code pages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ringshift {

inline uint64_t hash_bytes(std::span<const uint8_t> bytes, uint64_t seed) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  constexpr size_t kBlock = 32;
  // Four lanes, so that the multiplications overlap.
  std::array<uint64_t, 4> lane = {seed, 1, 2, bytes.size()};
  auto mix = [&lane](const uint8_t* block) {
    for (size_t k = 0; k < lane.size(); ++k) {
      uint64_t word = 0;
      std::memcpy(&word, block + 8 * k, sizeof(word));
      lane[k] = (lane[k] ^ word) * kMultiplier;
      lane[k] ^= lane[k] >> 29;
    }
  };
  size_t at = 0;
  for (; at + kBlock <= bytes.size(); at += kBlock) mix(bytes.data() + at);
  if (at < bytes.size()) {
    std::array<uint8_t, kBlock> last{};
    std::memcpy(last.data(), bytes.data() + at, bytes.size() - at);
    mix(last.data());
  }
  return ((lane[0] * 3 + lane[1]) * 5 + lane[2]) * 7 + lane[3];
}

}  // namespace ringshift

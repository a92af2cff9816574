// RandomSource: the source of a device's random bytes: the host, or a run that repeats, which makes
// them or plays them back. Implemented by: host_random, tests. See docs/devices.md.
#pragma once

#include <cstdint>
#include <span>

namespace ringshift {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  // All of them.
  virtual void fill(std::span<uint8_t> bytes) = 0;
};

}  // namespace ringshift

// RandomSource: where a device gets random bytes from: the host, or whoever makes or plays back a
// run that repeats. Implemented by: host_random, tests. See docs/devices.md.
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

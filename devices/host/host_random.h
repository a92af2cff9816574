// HostRandom: random bytes of the host's kernel. The only home of getrandom. See docs/devices.md.
#pragma once

#include "devices/virtio/random_source.h"

namespace ringshift {

class HostRandom final : public RandomSource {
 public:
  void fill(std::span<uint8_t> bytes) override;
};

}  // namespace ringshift

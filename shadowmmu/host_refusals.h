// HostRefusals: says no in the host's place every so many times, so that a test sees every path on
// which a host that has no mapping left takes us. Owns: a count. Never refuses unless told to. See
// docs/testing.md.
#pragma once

#include <cstdint>

namespace ringshift {

class HostRefusals {
 public:
  // 0: never.
  void refuse_every(uint32_t calls) { every_ = calls; }
  [[nodiscard]] bool refuses() { return every_ != 0 && ++asked_ % every_ == 0; }

 private:
  uint32_t every_ = 0;
  uint32_t asked_ = 0;
};

}  // namespace ringshift

// SafePoint: proof that no translated code is on any stack. Functions that drop code ask for one.
// Owns: nothing; a token. Only the vCPU loop makes it (and tests, which run no translated code
// meanwhile). Called by: translation cache, translator. Keeps: T3.
#pragma once

namespace ringshift {

class SafePoint {
 public:
  SafePoint(const SafePoint&) = delete;
  SafePoint& operator=(const SafePoint&) = delete;

 private:
  friend class Vcpu;
  friend class SafePointForTest;
  SafePoint() = default;
};

}  // namespace ringshift

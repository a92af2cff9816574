// SafePoint: proof that no translated code is on any stack. Functions that drop code ask for one. A
// token. Only the vCPU loop and its engines make it (and tests, which run no translated code
// meanwhile). Keeps: T3.
#pragma once

namespace ringshift {

class SafePoint {
 public:
  SafePoint(const SafePoint&) = delete;
  SafePoint& operator=(const SafePoint&) = delete;

 private:
  friend class Boundary;
  friend class SafePointForTest;
  SafePoint() = default;
};

}  // namespace ringshift

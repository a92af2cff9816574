// Random: the one source of chance of these tests; equal seeds give equal cases on every machine.
// Owns: a counter. SplitMix64: any seed will do, neighbours are unrelated.
#pragma once

#include <cstdint>

namespace ringshift::differential {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31);
  }
  uint32_t word() { return static_cast<uint32_t>(next() >> 32); }
  // [0, bound). Pre: bound > 0.
  uint32_t below(uint32_t bound) { return word() % bound; }
  bool one_in(uint32_t n) { return below(n) == 0; }
  uint8_t byte() { return static_cast<uint8_t>(word()); }
  // Small and extreme values find more than uniform ones do.
  uint32_t value() {
    constexpr uint32_t kCorners[] = {0,      1,      2,      0x7f,       0x80,       0xff,
                                     0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    switch (below(4)) {
      case 0:
        return kCorners[below(sizeof(kCorners) / sizeof(kCorners[0]))];
      case 1:
        return below(256);
      default:
        return word();
    }
  }

 private:
  uint64_t state_;
};

// Cases are independent: each has a seed of its own.
inline uint64_t case_seed(uint64_t seed, uint64_t index) {
  return Random(seed ^ (index * 0xd1342543de82ef95U)).next();
}

}  // namespace ringshift::differential

// ArrivingGrains: RAM that comes over a stream in pieces of one size, into the memory of a machine
// that does not run yet. The pieces are hostile input: each is written only to the place that it
// names, and only if that is RAM. Does not own: the memory. See docs/migration.md, "The stream".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "shadowmmu/guest_memory.h"

namespace ringshift {

class ArrivingGrains {
 public:
  // Pre: memory is all zeros, and nobody else looks at it. False: no piece can have that size.
  [[nodiscard]] bool begin(GuestMemory& memory, uint32_t grain_bytes);
  // The body of a MessageKind::Grain: a number, and its bytes, none: zeros. A later one of the same
  // number counts. False with one line in *problem.
  [[nodiscard]] bool take(std::span<const uint8_t> message, std::string* problem);

  [[nodiscard]] size_t count() const { return hashes_.size(); }
  [[nodiscard]] uint32_t grain_bytes() const { return grain_bytes_; }
  [[nodiscard]] bool has_bytes(size_t grain) const { return hashes_[grain] != 0; }
  // Leaves the grain out of hash().
  void forget(size_t grain) { hashes_[grain] = 0; }
  // hash_of_grains() of all that has come.
  [[nodiscard]] uint64_t hash() const;

 private:
  GuestMemory* memory_ = nullptr;
  uint32_t grain_bytes_ = 0;
  std::vector<uint64_t> hashes_;  // by grain; 0: zeros
};

}  // namespace ringshift

// Torture: the test switches that make rare things happen at every so many exits: all code dropped,
// all invariants verified, pages of RAM taken from a shared base or given back to it. Owns: the
// counts. See docs/testing.md, "Torture".
#pragma once

#include <cstdint>

#include "monitor/spaces/address_spaces.h"
#include "translator/translation_cache.h"

namespace ringshift {

struct TortureConfig {
  uint32_t drop_every = 0;    // exits between two times that all fragments are dropped; 0: never
  uint32_t verify_every = 0;  // exits between two verifications of the invariants; 0: never
  // Exits between two times that some page of RAM becomes own, or shared with the base again; 0:
  // never. Does nothing to a machine without a base.
  uint32_t share_every = 0;
};

class Torture {
 public:
  explicit Torture(const TortureConfig& config) : config_(config) {}

  // Callouts count as exits do, so that each may be the one. True: this one has to become an exit.
  [[nodiscard]] bool is_due_inside() {
    if (config_.drop_every != 0 && ++since_drop_ >= config_.drop_every) return true;
    if (config_.share_every != 0 && ++since_share_ >= config_.share_every) return true;
    return config_.verify_every != 0 && ++since_verify_ >= config_.verify_every;
  }
  // After an exit. True: code has been dropped.
  bool after_exit(AddressSpaces& spaces, TranslationCache& cache, const SafePoint& safe) {
    bool dropped = false;
    if (config_.drop_every != 0 && ++since_drop_ >= config_.drop_every) {
      since_drop_ = 0;
      dropped = true;
      cache.drop_all(safe);
    }
    if (config_.share_every != 0 && ++since_share_ >= config_.share_every) {
      since_share_ = 0;
      spaces.flip_backing(next_random());
    }
    if (config_.verify_every != 0 && ++since_verify_ >= config_.verify_every) {
      since_verify_ = 0;
      spaces.apply(safe);
      spaces.verify_invariants();
    }
    return dropped;
  }

 private:
  // Numbers that look random and are the same in each run (Marsaglia's xorshift).
  [[nodiscard]] uint32_t next_random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 17;
    random_ ^= random_ << 5;
    return random_;
  }

  TortureConfig config_;
  uint32_t since_drop_ = 0;
  uint32_t since_verify_ = 0;
  uint32_t since_share_ = 0;
  uint32_t random_ = 2463534242;
};

}  // namespace ringshift

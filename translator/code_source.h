// CodeSource: guest instruction bytes by linear address, and the guest-physical page behind them.
// Declared here because the translator needs it; implemented above, over the walker.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_set>

#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"

namespace ringshift {

using KeptOut = std::unordered_set<GuestVirtual>;  // T7

class CodeSource {
 public:
  virtual ~CodeSource() = default;
  // The bytes from `address` to the end of its page, and where they are; an empty span when they
  // cannot be fetched with this privilege or are not RAM (the interpreter then finds out why).
  [[nodiscard]] virtual std::span<const uint8_t> code_at(GuestVirtual address, Privilege privilege,
                                                         GuestPhysical* physical) = 0;
  // The addresses at which no instruction of a unit may begin, so that translated code leaves
  // there; null (never an empty set): none.
  [[nodiscard]] virtual const KeptOut* kept_out() const { return nullptr; }
};

// The instructions that have proved to fault too often for a plain access (adaptive memory access),
// or for the check of a return that costs a fault when it fails.
class SoftSites {
 public:
  virtual ~SoftSites() = default;
  [[nodiscard]] virtual bool is_soft(GuestPhysical instruction) const = 0;
  // True for an instruction that reaches the memory of devices: the monitor executes it, called
  // from generated code.
  [[nodiscard]] virtual bool reaches_device(GuestPhysical /*instruction*/) const { return false; }
  // last_byte: of a call whose return point has been come to by other returns than its own.
  [[nodiscard]] virtual bool returns_elsewhere(GuestPhysical last_byte) const {
    (void)last_byte;
    return false;
  }
};

}  // namespace ringshift

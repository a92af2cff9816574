// A20Gate: the state of address line 20, which two devices of the board can switch. Owns: the
// state. The last writer wins, as chipsets merge the two sources. See docs/devices.md.
#pragma once

#include <functional>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

class A20Gate {
 public:
  explicit A20Gate(std::function<void(bool)> on_change) : on_change_(std::move(on_change)) {}
  [[nodiscard]] bool enabled() const { return enabled_; }
  void set(bool enabled) {
    if (enabled == enabled_) return;
    enabled_ = enabled;
    if (on_change_) on_change_(enabled);
  }

  // The processor's side of the line follows, as when the guest switches it.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) {
    bool enabled = enabled_;
    archive.field("enabled", enabled);
    if (archive.has_loaded()) set(enabled);
  }

 private:
  std::function<void(bool)> on_change_;
  bool enabled_ = true;
};

}  // namespace ringshift

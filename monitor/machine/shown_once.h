// ShownOnce: hands on a replayed port's output, but nothing twice: a replay that has gone back
// sends the same bytes again. Owns: how many have been sent, and how many shown. See
// docs/debugging-backwards.md.
#pragma once

#include <cstdint>

#include "devices/chips/serial_backend.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

class ShownOnce final : public SerialBackend {
 public:
  explicit ShownOnce(SerialBackend& to) : to_(to) {}

  void transmit(uint8_t byte) override {
    if (sent_++ < shown_) return;
    shown_ = sent_;
    to_.transmit(byte);
  }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) { archive.field("sent", sent_); }

 private:
  // Not state: shown_: output that has been seen is not unseen.
  SerialBackend& to_;
  uint64_t sent_ = 0;
  uint64_t shown_ = 0;
};

}  // namespace ringshift

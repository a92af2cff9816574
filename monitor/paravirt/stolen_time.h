// StolenTime: how long the virtual CPU has wanted to run and did not, as the guest is told. Owns:
// the time counted for this guest, in this life and, if it was saved, in those before. Where the
// time comes from is the machine's matter.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class StateArchive;

class StolenTime {
 public:
  // total: nanoseconds, of this process, never less than before.
  explicit StolenTime(std::function<Nanoseconds()> total)
      : total_(std::move(total)), last_(total_()) {}

  // Nanoseconds that have been stolen while somebody wanted to know.
  [[nodiscard]] uint64_t now() {
    const Nanoseconds total = total_();
    if (total > last_) stolen_ += static_cast<uint64_t>(total - last_);
    last_ = total;
    return stolen_;
  }
  // Time stolen up to here is left out.
  void begin() { last_ = total_(); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  // Not state: last_: of the host's process.
  std::function<Nanoseconds()> total_;
  Nanoseconds last_;
  uint64_t stolen_ = 0;
};

}  // namespace ringshift

// DeprivilegedRunner: runs guest code directly on the processor until something stops it. Declared
// here because vcpu calls it; the classical trap-and-emulate engine of the laboratory implements it
// (monitor/trap/deprivileged.h). Registers come back in the guest state. See docs/lab.md.
#pragma once

#include <string>

#include "translator/guest_state.h"

namespace ringshift {

class DeprivilegedRunner {
 public:
  enum class Stop : uint8_t {
    Resume,     // nothing for the monitor: mappings were made, or the host's clock ticked
    Interpret,  // the instruction at EIP trapped: the monitor decides
    GiveUp,     // the event cannot be undone: message()
  };
  virtual ~DeprivilegedRunner() = default;
  [[nodiscard]] virtual Stop run(GuestState& state) = 0;
  // After the interpreter's work: translations may have been flushed, segments loaded.
  virtual void after_interpreted(const GuestState& state) = 0;
  [[nodiscard]] virtual const std::string& message() const = 0;
};

}  // namespace ringshift

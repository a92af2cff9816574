// KeyQueue: keys that come from outside faster than a guest takes them, one after the other. Owns:
// those that wait (bounded), a timer. Does not own: the keyboard. A guest that takes none for two
// seconds loses them. See docs/control.md.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "devices/input/i8042.h"

namespace ringshift {

class KeyQueue {
 public:
  KeyQueue(VirtualClock& clock, I8042& keyboard);

  // Adds codes that the keyboard sends at least `pause` after the ones before. False: too many
  // wait, and nothing has been added.
  [[nodiscard]] bool add(std::vector<uint8_t> codes, Nanoseconds pause);
  [[nodiscard]] size_t waiting() const { return steps_.size(); }
  static constexpr size_t kMostSteps = 512;

 private:
  struct Step {
    std::vector<uint8_t> codes;
    Nanoseconds pause = 0;
  };
  void go_on();

  VirtualClock& clock_;
  I8042& keyboard_;
  std::deque<Step> steps_;
  Nanoseconds last_ = 0;     // when a key was last given to the keyboard
  Nanoseconds waiting_ = 0;  // since when the guest has not taken one; 0: it takes them
  ClockTimer timer_;
};

}  // namespace ringshift

// RemoteInput: keys and movements of remote screens on their way to the guest's keyboard and mouse.
// Owns: the keys that wait until the guest has taken those before (their sender bounds them), a
// timer. Does not own: the keyboard. vCPU thread only. See docs/screen.md.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "devices/input/i8042.h"

namespace ringshift {

// A movement as HostInput carries it. Any bytes are a movement.
[[nodiscard]] std::vector<uint8_t> bytes_of_motion(const MouseMotion& motion);
[[nodiscard]] MouseMotion motion_of_bytes(std::span<const uint8_t> bytes);

class StateArchive;

class RemoteInput {
 public:
  // on_taken: one input of that source is with the guest, and makes room for another.
  RemoteInput(VirtualClock& clock, I8042& keyboard, std::function<void(uint8_t source)> on_taken);

  // The bytes of one key, scan code set 2.
  void put_keys(uint8_t source, std::span<const uint8_t> codes);
  void put_motion(uint8_t source, const MouseMotion& motion);

  // The input that waits; for a replay.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Keys {
    uint8_t source = 0;
    std::vector<uint8_t> codes;
  };
  void go_on();

  VirtualClock& clock_;
  I8042& keyboard_;
  std::function<void(uint8_t)> on_taken_;
  std::deque<Keys> waiting_;
  ClockTimer timer_;
};

}  // namespace ringshift

// PacketPort: the way of a network device's Ethernet frames, out and in. A side that has no room
// says so, and the other one keeps its frames: nothing is dropped between them. All of it happens
// on the virtual CPU's thread. Implemented by: monitor/network/network_port.h, tests. See
// docs/devices.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

namespace ringshift {

using MacAddress = std::array<uint8_t, 6>;

class PacketPort {
 public:
  virtual ~PacketPort() = default;
  // May a frame be sent now? If not, on_change is called when one may.
  [[nodiscard]] virtual bool has_room() const = 0;
  // A frame of the guest's, from its destination address on and without a check sequence. Pre:
  // has_room(); of the frames that one large packet is cut into, for the first one.
  virtual void send(std::span<const uint8_t> frame) = 0;
  // Does it take packets of TCP that are larger than a frame (kLongestLargeFrame), whole, with
  // their lengths and sums right?
  [[nodiscard]] virtual bool takes_large() const { return false; }
  // Frames that were sent may leave now. Called after all that were sent together.
  virtual void flush() {}
  // The frame that the guest is to get next, which stays until it is taken; empty: there is none.
  [[nodiscard]] virtual std::span<const uint8_t> received() const = 0;
  virtual void take_received() = 0;
  // Is there somebody at the other end of the cable? Frames that are sent without are lost.
  [[nodiscard]] virtual bool is_up() const { return true; }
  // on_change is called when there is room again, when a frame has come where there was none, from
  // within send() and take_received() as well, and when is_up() has changed. Set once, before the
  // guest runs.
  virtual void set_on_change(std::function<void()> on_change) = 0;
};

}  // namespace ringshift

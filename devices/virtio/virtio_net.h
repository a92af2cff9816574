// VirtioNet: a virtio network card: a queue of frames to the guest, and one of frames from it.
// Does not own: the port that they go through. See docs/devices.md; VIRTIO 1.1, 5.1.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/virtio/packet_port.h"
#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

class VirtioNet final : public VirtioDevice {
 public:
  // takes_any_address: a state may have been saved by a card with another one, which its guest
  // knows until it asks again.
  VirtioNet(PacketPort& port, const MacAddress& address, bool takes_any_address = false);

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned offset) const override;
  void reset() override {}
  [[nodiscard]] Served serve(unsigned queue) override;

  // Frames that wait are the port's; it holds nothing between two of them.
  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive) override;

  static constexpr unsigned kReceiveQueue = 0, kTransmitQueue = 1;
  // Two addresses, a type, a tag and 1,500 bytes: a longer frame of the guest's goes nowhere.
  static constexpr size_t kLeastFrame = 14, kLongestFrame = 1518;

 private:
  [[nodiscard]] size_t header_bytes() const;
  [[nodiscard]] Served receive();
  [[nodiscard]] Served transmit();

  void on_port_change();

  // Not state: address_, takes_any_address_: what it is made with.
  // Not state: chain_: where chains pass through; kept for its room.
  PacketPort& port_;
  MacAddress address_;
  bool takes_any_address_;
  bool told_up_ = true;  // what the driver has last heard of the link
  DescriptorChain chain_;
};

}  // namespace ringshift

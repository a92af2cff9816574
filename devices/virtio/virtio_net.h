// VirtioNet: a virtio network card: a queue of frames to the guest, and one of frames from it. A
// driver may send TCP packets larger than a frame, and frames that follow each other reach it as
// one. Does not own: the port for the frames. See docs/devices.md; VIRTIO 1.2, 5.1.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/virtio/packet_port.h"
#include "devices/virtio/tcp_frames.h"
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
  // The bytes of the header in front of each frame (5.1.6). The last two, the number of buffers
  // that a frame takes, are not there in the legacy interface without VIRTIO_NET_F_MRG_RXBUF
  // (5.1.6.1).
  static constexpr size_t kHeaderBytes = 12, kLegacyHeaderBytes = 10;

 private:
  using Header = std::array<uint8_t, kHeaderBytes>;
  [[nodiscard]] size_t header_bytes() const;
  [[nodiscard]] Served receive();
  // None: there are not enough buffers; Broken: they make no sense.
  enum class Room : uint8_t { Enough, None, Broken };
  // As many as have room for so much, the header with it.
  [[nodiscard]] Room take_buffers(size_t bytes);
  void put_back(size_t count);
  [[nodiscard]] bool may_join() const;
  [[nodiscard]] Room join_more();
  [[nodiscard]] Header header_of_train() const;
  void give_to_driver();
  [[nodiscard]] Served transmit();
  [[nodiscard]] Served send_what_waits();
  void send(const Header& header);
  void send_large(const Header& header);

  void on_port_change();

  // Not state: address_, takes_any_address_: set when it is made.
  // Not state: chain_, buffers_, buffer_count_, room_, train_, packet_: where chains and frames
  // pass through; kept for their room.
  PacketPort& port_;
  MacAddress address_;
  bool takes_any_address_;
  bool told_up_ = true;  // the link's state that the driver was last told
  DescriptorChain chain_;
  std::vector<DescriptorChain> buffers_;  // the first buffer_count_ of them: for the train
  size_t buffer_count_ = 0;
  uint64_t room_ = 0;  // of those
  TcpTrain train_;
  std::vector<uint8_t> packet_;
};

}  // namespace ringshift

// GuestPackets: the guest's half of a network port. The card's view of it depends on the card
// itself and on the inputs given to it (HostInput), and on nothing else: so a tape of those is a
// recording of the network. By itself it is the network of a replay: frames that the guest sends
// are dropped. Owns: the frames that wait for the guest. vCPU thread only. See docs/networking.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "devices/host/byte_queue.h"
#include "devices/host/inbox.h"
#include "devices/virtio/packet_port.h"

namespace ringshift {

class StateArchive;

class GuestPackets : public PacketPort {
 public:
  // The frames that the other end of the cable takes. A recording and its replay have the same.
  enum class Frames : uint8_t { Usual, Large };
  explicit GuestPackets(Frames frames = Frames::Usual) : frames_(frames) {}

  [[nodiscard]] bool takes_large() const override { return frames_ == Frames::Large; }
  [[nodiscard]] bool has_room() const override { return outgoing_ < kMostOutgoing; }
  void send(std::span<const uint8_t> frame) override;
  [[nodiscard]] std::span<const uint8_t> received() const override;
  void take_received() override;
  [[nodiscard]] bool is_up() const override { return is_up_; }
  void set_on_change(std::function<void()> on_change) override {
    on_change_ = std::move(on_change);
  }
  // One of the network's kinds. Pre: is_sound().
  virtual void take_in(const HostInput& input);
  // Nothing comes or goes any more. False: a file has not all that it should have.
  [[nodiscard]] virtual bool finish() { return true; }
  // A hash of all frames that the guest has sent, in their order.
  [[nodiscard]] uint64_t sent_hash() const { return sent_hash_; }

  // For a replay that goes back.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

  // Bytes, lengths of frames included, that wait for the peer, and for the guest.
  static constexpr size_t kMostOutgoing = size_t{256} << 10, kMostReceived = size_t{256} << 10;

  // Inputs: frames with their lengths; how many bytes have left (4 bytes, the lowest first); 1 or
  // 0: somebody is at the other end, or nobody.
  [[nodiscard]] static HostInput frames_input(std::vector<uint8_t> frames);
  [[nodiscard]] static HostInput room_input(uint32_t bytes);
  [[nodiscard]] static HostInput link_input(bool is_up);
  // For one of the network's kinds that comes from a tape: true if its bytes are such as these
  // functions make.
  [[nodiscard]] static bool is_sound(const HostInput& input);

 protected:
  // Bytes that the guest has sent and was not told to have left.
  [[nodiscard]] size_t outgoing() const { return outgoing_; }
  // frame: with its length in front.
  virtual void on_sent(std::span<const uint8_t> /*frame*/) {}
  virtual void on_taken(size_t /*bytes*/) {}

 private:
  // Not state: frames_: set when it is made.
  Frames frames_;
  std::function<void()> on_change_;
  ByteQueue received_;
  size_t outgoing_ = 0;  // sent, and not yet told to have left
  bool is_up_ = true;    // until it is told
  uint64_t sent_hash_ = 0;
};

}  // namespace ringshift

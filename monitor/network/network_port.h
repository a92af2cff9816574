// NetworkPort: where the frames of a guest's network card go: a thread moves them between the
// machine and the link. Both ways are bounded, and a side that is full makes the other one wait:
// frames stay in the guest's ring, or with the peer. Owns: the thread, the frames in between. See
// docs/networking.md.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "devices/bus/token_bucket.h"
#include "devices/host/byte_queue.h"
#include "devices/host/inbox.h"
#include "devices/virtio/packet_port.h"
#include "monitor/network/network_link.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class NetworkPort final : public PacketPort {
 public:
  // Throws std::system_error when the host refuses a thread or a descriptor.
  NetworkPort(NetworkLink& link, Inbox& inbox);
  ~NetworkPort() override;
  NetworkPort(const NetworkPort&) = delete;
  NetworkPort& operator=(const NetworkPort&) = delete;

  [[nodiscard]] bool has_room() const override;
  void send(std::span<const uint8_t> frame) override;
  [[nodiscard]] std::span<const uint8_t> received() const override;
  void take_received() override;
  [[nodiscard]] bool is_up() const override { return link_.is_up(); }
  void set_on_change(std::function<void()> on_change) override {
    on_change_ = std::move(on_change);
  }
  // What the inbox has of the network's. vCPU thread.
  void take_in(const HostInput& input);
  // Ends the thread. False: a file has not all that it should have.
  [[nodiscard]] bool finish();

  // Bytes, lengths of frames included, that wait for the peer, and for the guest.
  static constexpr size_t kMostOutgoing = size_t{256} << 10, kMostReceived = size_t{256} << 10;

 private:
  void serve();
  // False: the thread is to end.
  [[nodiscard]] bool serve_once();
  void move_outgoing();
  [[nodiscard]] bool may_read();
  [[nodiscard]] std::vector<uint8_t> take_outgoing();
  [[nodiscard]] int longest_wait();

  NetworkLink& link_;
  Inbox& inbox_;
  std::function<void()> on_change_;
  ByteQueue received_;        // vCPU thread
  mutable std::mutex mutex_;  // guards the four below
  std::vector<uint8_t> outgoing_;
  mutable bool room_is_wanted_ = false;
  size_t in_flight_ = 0;  // read, and not yet taken by the guest
  bool thread_waits_ = false;
  // The thread's; nothing: no rate is to be kept.
  std::optional<TokenBucket> sent_, read_;
  HostThread thread_;
};

}  // namespace ringshift

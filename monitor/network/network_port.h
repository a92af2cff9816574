// NetworkPort: the link side of a guest's network card: a thread moves frames between the machine
// and the link. Both ways are bounded, and a side that is full makes the other one wait: frames
// stay in the guest's ring, or with the peer. All news is an input of the guest's (Inbox). Owns:
// the thread, the frames in between. See docs/networking.md.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "devices/bus/token_bucket.h"
#include "devices/host/inbox.h"
#include "monitor/network/guest_packets.h"
#include "monitor/network/network_link.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class NetworkPort final : public GuestPackets {
 public:
  // Address translation takes large packets of TCP as they are; other machines may not.
  [[nodiscard]] static Frames frames_of(const NetworkRequest& request) {
    return request.kind == NetworkRequest::Kind::User ? Frames::Large : Frames::Usual;
  }
  // For one of two machines that are the same (docs/replication.md).
  struct Pair {
    // Gets the frames that the guest sends, with their lengths: push() sends them; empty: they
    // leave at once.
    std::function<void(std::span<const uint8_t>)> hold;
    bool is_live = true;  // false: frames that arrive are not given to the guest, until go_live()
  };
  // Throws std::system_error when the host refuses a thread or a descriptor.
  NetworkPort(NetworkLink& link, Inbox& inbox);
  NetworkPort(NetworkLink& link, Inbox& inbox, Pair pair);
  ~NetworkPort() override;
  NetworkPort(const NetworkPort&) = delete;
  NetworkPort& operator=(const NetworkPort&) = delete;

  // Frames with their lengths leave; bytes that are none are lost.
  void push(std::span<const uint8_t> frames);
  // `held`: bytes that the guest has sent and that will be pushed.
  void go_live(size_t held);

  void take_in(const HostInput& input) override;
  // A few bytes leave at once, on the virtual CPU's own thread: to wake another takes longer.
  void flush() override;
  // Ends the thread.
  [[nodiscard]] bool finish() override;

 protected:
  void on_sent(std::span<const uint8_t> frame) override;
  void on_taken(size_t bytes) override;

 private:
  void serve();
  // False: the thread is to end.
  [[nodiscard]] bool serve_once();
  void move_outgoing();
  [[nodiscard]] bool send_at_once();
  void note_moved(size_t bytes);
  // Once until the guest has it, however often the peer comes and goes meanwhile.
  void tell_link();
  [[nodiscard]] bool may_read();
  [[nodiscard]] std::vector<uint8_t> take_outgoing();
  [[nodiscard]] int longest_wait();

  NetworkLink& link_;
  Inbox& inbox_;
  Pair pair_;
  std::atomic<bool> is_live_;
  std::atomic<bool> is_link_told_{false};
  std::mutex link_mutex_;  // guards the link; taken before the other one
  std::mutex mutex_;       // guards the five below
  std::vector<uint8_t> outgoing_;
  bool thread_is_woken_ = false;  // and has not looked at that yet
  size_t moved_ = 0;              // to the link, and not yet told to the guest
  size_t in_flight_ = 0;          // read, and not yet taken by the guest
  bool thread_waits_ = false;
  // The thread's; nothing: no rate is to be kept.
  std::optional<TokenBucket> sent_, read_;
  HostThread thread_;
};

}  // namespace ringshift

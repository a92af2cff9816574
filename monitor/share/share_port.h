// SharePort: where the 9P messages of a guest's shared folder go: a thread moves them between the
// machine and the link. Both ways are bounded, and a side that is full makes the other one wait:
// requests stay in the guest's ring, answers with the server. Owns: the thread, the messages in
// between. See docs/sharing.md.
#pragma once

#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "devices/host/byte_queue.h"
#include "devices/host/inbox.h"
#include "devices/virtio/file_port.h"
#include "monitor/share/share_link.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class SharePort final : public FilePort {
 public:
  // Throws std::system_error when the host refuses a thread or a descriptor.
  SharePort(ShareLink& link, Inbox& inbox);
  ~SharePort() override;
  SharePort(const SharePort&) = delete;
  SharePort& operator=(const SharePort&) = delete;

  [[nodiscard]] bool is_up() const override { return link_.is_up(); }
  [[nodiscard]] bool has_room() const override;
  [[nodiscard]] uint16_t free_tag() const override { return link_.free_tag(); }
  void send(std::span<const uint8_t> message) override;
  [[nodiscard]] std::span<const uint8_t> received() const override;
  void take_received() override;
  void give_up(uint16_t tag) override { link_.give_up(tag); }
  void set_on_change(std::function<void()> on_change) override {
    on_change_ = std::move(on_change);
  }
  // What the inbox has of the folder's. vCPU thread.
  void take_in(const HostInput& input);
  // The guest has it mounted: what the server knows of that cannot be saved.
  [[nodiscard]] bool is_mounted() const { return link_.is_mounted(); }

  // Bytes that wait for the server, and for the guest: as many, and one message more.
  static constexpr size_t kMostOutgoing = size_t{512} << 10, kMostReceived = size_t{512} << 10;

 private:
  void serve();
  // False: the thread is to end.
  [[nodiscard]] bool serve_once();
  void move_outgoing();
  [[nodiscard]] bool may_read();

  ShareLink& link_;
  Inbox& inbox_;
  std::function<void()> on_change_;
  ByteQueue received_;        // vCPU thread
  mutable std::mutex mutex_;  // guards the four below
  std::vector<uint8_t> outgoing_;
  mutable bool room_is_wanted_ = false;
  size_t in_flight_ = 0;  // read, and not yet taken by the guest
  bool thread_waits_ = false;
  HostThread thread_;
};

}  // namespace ringshift

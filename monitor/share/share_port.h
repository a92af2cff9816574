// SharePort: the server side of a guest's shared folder: a thread moves 9P messages between the
// machine and the link. Both ways are bounded, and a side that is full makes the other one wait:
// requests stay in the guest's ring, answers with the server. All news is an input of the guest's
// (Inbox). Owns: the thread, the messages in between. See docs/sharing.md.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "devices/host/inbox.h"
#include "monitor/share/guest_files.h"
#include "monitor/share/share_link.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class SharePort final : public GuestFiles {
 public:
  // Throws std::system_error when the host refuses a thread or a descriptor.
  SharePort(ShareLink& link, Inbox& inbox);
  ~SharePort() override;
  SharePort(const SharePort&) = delete;
  SharePort& operator=(const SharePort&) = delete;

 protected:
  void on_sent(std::span<const uint8_t> message) override;
  void on_taken(size_t bytes) override;

 private:
  void serve();
  // False: the thread is to end.
  [[nodiscard]] bool serve_once();
  void move_outgoing();
  [[nodiscard]] bool may_read();

  ShareLink& link_;
  Inbox& inbox_;
  std::mutex mutex_;  // guards the five below
  std::vector<uint8_t> outgoing_;
  size_t waiting_ = 0;    // of the guest's bytes, in outgoing_
  size_t moved_ = 0;      // of them, to the link, and not yet told to the guest
  size_t in_flight_ = 0;  // read, and not yet taken by the guest
  bool thread_waits_ = false;
  HostThread thread_;
};

}  // namespace ringshift

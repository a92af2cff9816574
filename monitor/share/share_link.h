// ShareLink: a machine's connection to the server of its shared folder. It outlives a reset of the
// guest, messages that are half on their way and answers that nobody waits for any more included.
// Owns: the socket, the server. Does not own: the thread that moves bytes (share_port.h). See
// docs/sharing.md.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/virtio/file_port.h"
#include "monitor/share/file_tags.h"
#include "monitor/share/share_request.h"
#include "monitor/share/share_server.h"

namespace ringshift {

class ShareLink {
 public:
  // Before the process is confined and has threads. Null with one line in *error.
  [[nodiscard]] static std::unique_ptr<ShareLink> open(const ShareRequest& request,
                                                       ShareServer::Walls walls,
                                                       std::string* error);
  // Uses a stream that somebody else serves, to whom the folder is `folder`: for tests.
  ShareLink(int socket, std::string folder, std::unique_ptr<ShareServer> server);
  ~ShareLink();
  ShareLink(const ShareLink&) = delete;
  ShareLink& operator=(const ShareLink&) = delete;

  // Any thread: the server is there.
  [[nodiscard]] bool is_up() const { return up_.load(); }
  // As a command line calls it.
  [[nodiscard]] const ShareRequest& request() const { return request_; }

  // ---- for the vCPU thread ----
  // What is on its way between two guests.
  [[nodiscard]] FileTags& tags() { return tags_; }
  // Appends the bytes to be sent for a request to *to: the folder and the asking user are not for
  // the guest to say.
  void append_request(std::span<const uint8_t> message, std::vector<uint8_t>* to) const;

  // ---- for one thread at a time ---- reads: there is room for answers that may come.
  [[nodiscard]] pollfd waiting_for(bool reads) const;
  // After the wait: answers that have come, each whole, are appended to *messages.
  void serve(int events, std::vector<uint8_t>* messages);
  // Nothing waits that was given to send().
  [[nodiscard]] bool is_idle() const { return sent_ == outgoing_.size(); }
  // Whole messages. Pre: is_idle().
  void send(std::vector<uint8_t> messages);

 private:
  void read(std::vector<uint8_t>* messages);
  void write();
  void hang_up(const char* why);

  ShareRequest request_;
  std::string folder_;
  std::unique_ptr<ShareServer> server_;
  int socket_;
  std::atomic<bool> up_{true};
  std::vector<uint8_t> incoming_;  // a message that has not come in full
  std::vector<uint8_t> outgoing_;
  size_t sent_ = 0;  // of outgoing_
  FileTags tags_;
};

}  // namespace ringshift

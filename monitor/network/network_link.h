// NetworkLink: the other end of the cable of a guest's network card: a stream of frames to the
// process of the network or to another machine. It outlives a reset of the guest, frames that are
// half on their way included. Owns: the sockets, the process, the file that frames are dumped to.
// Does not own: the thread that serves it (network_port.h). See docs/networking.md.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "monitor/network/frame_stream.h"
#include "monitor/network/network_request.h"
#include "monitor/network/packet_dump.h"
#include "monitor/network/slirp_process.h"

namespace ringshift {

class NetworkLink {
 public:
  // Before the process is confined and has threads. Null with one line in *error. Pre: the request
  // wants a network.
  [[nodiscard]] static std::unique_ptr<NetworkLink> open(const NetworkRequest& request,
                                                         SlirpProcess::Walls walls,
                                                         std::string* error);
  ~NetworkLink();
  NetworkLink(const NetworkLink&) = delete;
  NetworkLink& operator=(const NetworkLink&) = delete;

  // Any thread.
  [[nodiscard]] bool is_up() const { return up_.load(); }
  [[nodiscard]] const NetworkRequest& request() const { return request_; }
  // The card's traffic since the network was made. Any thread.
  struct Traffic {
    std::atomic<uint64_t> sent_frames{0}, sent_bytes{0}, taken_frames{0}, taken_bytes{0};
  };
  [[nodiscard]] Traffic& traffic() { return traffic_; }
  // Nothing could not be written that belonged into the file. Not while it is served.
  [[nodiscard]] bool dump_is_whole() const { return dump_ == nullptr || dump_->is_whole(); }

  // Before it is served: bytes a second, each way; 0: as fast as it goes.
  void limit_to(uint64_t rate) { rate_ = rate; }
  [[nodiscard]] uint64_t rate() const { return rate_; }

  // There is a file for all frames, and to write it may take long.
  [[nodiscard]] bool has_dump() const { return dump_ != nullptr; }

  // ---- for one thread at a time ---- reads: there is room for frames that may come.
  [[nodiscard]] pollfd waiting_for(bool reads) const;
  // After the wait: frames that have come are appended to *frames, with their lengths.
  void serve(int events, std::vector<uint8_t>* frames);
  // Nothing waits that was given to send().
  [[nodiscard]] bool is_idle() const { return sent_ == outgoing_.size(); }
  // Frames with their lengths. Pre: is_idle().
  void send(std::vector<uint8_t> frames);
  // The same, but errors show at the next serve(), or send(). True: all of it has gone. Pre:
  // has_dump() is false.
  [[nodiscard]] bool try_send(std::vector<uint8_t> frames);
  void flush_dump();

 private:
  explicit NetworkLink(NetworkRequest request) : request_(std::move(request)) {}
  [[nodiscard]] bool connect(SlirpProcess::Walls walls, std::string* error);
  void take_in(std::span<const uint8_t> frame, std::vector<uint8_t>* frames);
  void read(std::vector<uint8_t>* frames);
  void write();
  // False: nobody will ever read it.
  [[nodiscard]] bool write_some();
  void unplug(const char* why);

  NetworkRequest request_;
  uint64_t rate_ = 0;
  int listener_ = -1;  // -1: the peer is one that we connect to
  int socket_ = -1;
  std::atomic<bool> up_{false};
  Traffic traffic_;
  bool has_complained_ = false;
  FrameReader reader_;
  std::vector<uint8_t> outgoing_;
  size_t sent_ = 0;  // of outgoing_
  std::unique_ptr<PacketDump> dump_;
  std::unique_ptr<SlirpProcess> slirp_;
};

}  // namespace ringshift

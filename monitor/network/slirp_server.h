// SlirpServer: the network of a guest with addresses of its own: DHCP, a name server, and the
// host's sockets for the guest's connections; all of it is libslirp's. Runs in a process of its own
// (slirp_process.h), whose only tie to the monitor is a stream of frames. Owns: libslirp's state,
// the frames on their way to the guest (bounded). See docs/networking.md.
#pragma once

#include <poll.h>

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "monitor/network/frame_stream.h"
#include "monitor/network/network_request.h"

struct Slirp;

namespace ringshift {

class SlirpServer {
 public:
  // socket: a stream of frames, non-blocking.
  SlirpServer(const UserNetwork& wanted, int socket) : wanted_(wanted), socket_(socket) {}
  ~SlirpServer();
  SlirpServer(const SlirpServer&) = delete;
  SlirpServer& operator=(const SlirpServer&) = delete;

  // Opens the ports of the host. False with one line in *problem.
  [[nodiscard]] bool begin(std::string* problem);
  // Returns when the monitor has gone, or makes no sense.
  void run();

 private:
  struct Timer {
    int id;
    void* of_slirp;
    int64_t due;  // milliseconds; negative: not armed
  };
  // libslirp's way to us; `self` is this.
  struct Callbacks;

  [[nodiscard]] bool add_host_forward(const HostForward& forward, std::string* problem);
  [[nodiscard]] bool add_guest_forward(const GuestForward& forward, std::string* problem);
  void queue_frame(std::span<const uint8_t> frame);
  [[nodiscard]] int add_poll(int descriptor, int events);
  [[nodiscard]] int events_of(int index) const;
  [[nodiscard]] uint32_t until_next_timer() const;
  void run_timers();
  // False: the monitor has gone.
  [[nodiscard]] bool read_frames();
  [[nodiscard]] bool write_frames();

  UserNetwork wanted_;
  int socket_;
  Slirp* slirp_ = nullptr;
  FrameReader reader_;
  std::vector<uint8_t> outgoing_;
  size_t written_ = 0;  // of outgoing_
  std::vector<pollfd> waiting_;
  std::list<Timer> timers_;
};

}  // namespace ringshift

// RfbServer: the VNC server: listens, serves a few clients at a time on a thread of its own. Owns:
// the listening and the connected descriptors, the thread, a session for each client. A client that
// is slow or silent is given up after a time and delays nobody. Outlives the machine. See
// docs/screen.md.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "devices/host/host_random.h"
#include "devices/host/screen/picture_feed.h"
#include "devices/host/screen/screen_port.h"
#include "devices/screen/rfb/rfb_session.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

struct RfbServerConfig {
  std::string host = "127.0.0.1";  // four numbers, or an IPv6 address
  uint16_t port = 0;
  std::string unix_path;  // in place of host and port; empty: those
  std::string password;   // empty: none is asked for
};

class RfbServer {
 public:
  // Listens. Null with one line in *error. The port outlives the server.
  static std::unique_ptr<RfbServer> create(const RfbServerConfig& config, ScreenPort& port,
                                           std::string* error);
  ~RfbServer();
  RfbServer(const RfbServer&) = delete;
  RfbServer& operator=(const RfbServer&) = delete;

  // Throws std::system_error when the host refuses the thread. Once.
  void start();
  // HOST:PORT, or the path.
  [[nodiscard]] const std::string& where() const { return where_; }

  static constexpr size_t kMostClients = 8;

 private:
  using Clock = std::chrono::steady_clock;
  struct Client {
    int descriptor = -1;
    std::unique_ptr<rfb::Session> session;
    size_t sent = 0;               // of its output
    Clock::time_point came_at;     // of those whose handshake is not done
    Clock::time_point moved_at;    // it has taken something last
    Clock::time_point refused_at;  // a wrong password
    bool has_gone = false;
  };

  RfbServer(RfbServerConfig config, ScreenPort& port)
      : config_(std::move(config)), port_(port), feed_(port) {}
  [[nodiscard]] bool listen_at(int family, const void* address, unsigned length,
                               std::string* error);
  [[nodiscard]] bool listen_tcp(std::string* error);
  [[nodiscard]] bool listen_unix(std::string* error);
  [[nodiscard]] std::string refusal() const;

  void serve();
  [[nodiscard]] int prepare_to_wait();
  void accept_one();
  void read_some(Client& client);
  void write_some(Client& client);
  void take_screen();
  [[nodiscard]] bool is_given_up(const Client& client, Clock::time_point now) const;
  void drop_the_gone();

  RfbServerConfig config_;
  ScreenPort& port_;
  PictureFeed feed_;
  HostRandom random_;
  std::string where_;
  bool made_path_ = false;
  int listening_ = -1;
  std::vector<Client> clients_;
  std::vector<pollfd> waiting_;
  HostThread thread_;
};

}  // namespace ringshift

// WebServer: one page for a browser on this host: the screen by RFB over a WebSocket, the serial
// port, figures and buttons over another. Owns: libwebsockets' context, its thread, a session for
// each connection (bounded in number and size). Only a client with the token of the page's address
// gets in. Outlives the machine. See docs/screen.md; RFC 6455.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "devices/host/control_port.h"
#include "devices/host/screen/screen_port.h"

namespace ringshift {

struct WebServerConfig {
  std::string host = "127.0.0.1";  // four numbers
  uint16_t port = 0;               // 0: whichever is free
  bool can_save = false;           // the page has a button for it
};

class WebServer {
 public:
  // Listens. Null with one line in *error. The ports outlive the server.
  static std::unique_ptr<WebServer> create(const WebServerConfig& config, ScreenPort& screen,
                                           ControlPort& control, std::string* error);
  ~WebServer();
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  // Throws std::system_error when the host refuses the thread. Once.
  void start();
  // The page's address, with its token.
  [[nodiscard]] std::string where() const;

  // Connections of a kind at a time; bytes of one message.
  static constexpr unsigned kMostConnections = 8;
  static constexpr size_t kLongestMessage = 4096;

 private:
  struct Parts;  // keeps libwebsockets out of the headers
  explicit WebServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ringshift

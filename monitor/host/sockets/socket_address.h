// SocketAddress: the place at which a peer outside of this process is waited for or connected to: a
// debugger, a control program, the other end of a serial port. A value and its parser. See
// docs/usage.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ringshift {

struct SocketAddress {
  enum class Kind : uint8_t { None, Tcp, Unix, Pty, Fifos, Udp };
  Kind kind = Kind::None;
  std::string host = "127.0.0.1";  // numeric, IPv4
  uint16_t port = 0;               // 0: any that is free
  std::string path;                // Unix, Fifos
  bool connects = false;           // not listened: it is connected to, at the start
  // Tried again, so long after it has failed or ended; 0: it is there at the start, once.
  std::chrono::milliseconds again_after{0};
  // Udp: where datagrams come to.
  std::string own_host = "0.0.0.0";
  uint16_t own_port = 0;

  // As parse_connection (shadowmmu/base/host_connection.h) reads it. Pre: Tcp or Unix.
  [[nodiscard]] std::string name() const;
};

// "tcp=:1234", "tcp=192.0.2.1:1234", "unix=PATH"; a colon for the equals sign, as others write it.
[[nodiscard]] bool parse_socket_address(const std::string& text, SocketAddress* address);
// "udp:[HOST]:PORT[@[HOST]:PORT]": the address that datagrams are sent to, and the one that they
// come to.
[[nodiscard]] bool parse_datagram_address(const std::string& text, SocketAddress* address);

}  // namespace ringshift

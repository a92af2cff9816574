// HostConnection: stream sockets by the name that a command line gives them: "unix:PATH",
// "tcp:HOST:PORT" with HOST as four numbers. See docs/migration.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace ringshift {

// A name, taken apart. No memory is asked for: the process that opens files may not.
struct ConnectionName {
  enum class Kind : uint8_t { Unix, Tcp };
  Kind kind = Kind::Unix;
  std::array<char, 108> path{};  // Unix, with a zero behind it: sun_path (unix(7))
  uint32_t host = 0;             // Tcp, IPv4, in the host's order of bytes
  uint16_t port = 0;

  // True: the connection does not leave this host.
  [[nodiscard]] bool is_local() const { return kind == Kind::Unix || host >> 24 == 127; }
};

// False: it is no such name. A HOST that is left out, and "localhost", are 127.0.0.1.
[[nodiscard]] bool parse_connection(const char* text, ConnectionName* name);

// A socket that does not block and is being connected: it can be written to once it is, or has an
// error (SO_ERROR). -1 with errno. async-signal-safe
[[nodiscard]] int begin_connection(const char* text);

// A socket that does not block, at which others are waited for; of UNIX ones the owner alone. Port
// 0: any that is free; *port is the one it is then. -1 with errno.
[[nodiscard]] int listen_for_connection(const ConnectionName& name, uint16_t* port);
// A socket for datagrams to and from one other, that does not block. -1 with errno. Pre: both
// TCP's.
[[nodiscard]] int open_datagrams(const ConnectionName& own, const ConnectionName& other);
// The connection of a client that has come; -1: none has. Does not block.
[[nodiscard]] int accept_connection(int listener);

// 0, or the errno with which connecting has ended.
[[nodiscard]] int connection_error(int socket);
// Is its other end on this host: a UNIX socket's, or one of the loopback's?
[[nodiscard]] bool is_local_socket(int socket);
// Small words leave at once.
void send_at_once(int socket);
// As many bytes as the socket takes or has; -1 with errno (EAGAIN: none now), 0: it has ended.
[[nodiscard]] long send_some(int socket, const uint8_t* bytes, size_t count);
[[nodiscard]] long receive_some(int socket, uint8_t* bytes, size_t count);

}  // namespace ringshift

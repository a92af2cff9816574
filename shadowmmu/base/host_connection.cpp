#include "shadowmmu/base/host_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringshift {
namespace {

constexpr mode_t kOwnerOnly = 0600;

struct SocketName {
  sockaddr_storage bytes{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* generic() const {
    return reinterpret_cast<const sockaddr*>(&bytes);
  }
};

SocketName address_of(const ConnectionName& name) {
  SocketName address;
  if (name.kind == ConnectionName::Kind::Unix) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    static_assert(sizeof(at.sun_path) == sizeof(name.path));
    std::memcpy(at.sun_path, name.path.data(), sizeof(at.sun_path));
    std::memcpy(&address.bytes, &at, sizeof(at));
    address.length = sizeof(at);
  } else {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(name.port);
    at.sin_addr.s_addr = htonl(name.host);
    std::memcpy(&address.bytes, &at, sizeof(at));
    address.length = sizeof(at);
  }
  return address;
}

int make_socket(const ConnectionName& name) {
  const int family = name.kind == ConnectionName::Kind::Unix ? AF_UNIX : AF_INET;
  return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int close_and_fail(int descriptor, int error) {
  close(descriptor);
  errno = error;
  return -1;
}

// Decimal, to the end of the text.
bool parse_port(const char* text, uint16_t* port) {
  constexpr uint32_t kMost = 65535;
  uint32_t value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + static_cast<uint32_t>(*text - '0');
    if (value > kMost) return false;
  }
  *port = static_cast<uint16_t>(value);
  return true;
}

bool parse_tcp(const char* text, ConnectionName* name) {
  const char* const colon = std::strrchr(text, ':');
  if (colon == nullptr || !parse_port(colon + 1, &name->port)) return false;
  std::array<char, INET_ADDRSTRLEN> host{};
  const auto length = static_cast<size_t>(colon - text);
  if (length >= host.size()) return false;
  std::memcpy(host.data(), text, length);
  in_addr number{};
  if (length == 0 || std::strcmp(host.data(), "localhost") == 0) {
    number.s_addr = htonl(INADDR_LOOPBACK);
  } else if (inet_pton(AF_INET, host.data(), &number) != 1) {
    return false;
  }
  name->kind = ConnectionName::Kind::Tcp;
  name->host = ntohl(number.s_addr);
  return true;
}

}  // namespace

bool parse_connection(const char* text, ConnectionName* name) {
  constexpr const char *kTcp = "tcp:", *kUnix = "unix:";
  *name = {};
  if (std::strncmp(text, kTcp, std::strlen(kTcp)) == 0) {
    return parse_tcp(text + std::strlen(kTcp), name);
  }
  if (std::strncmp(text, kUnix, std::strlen(kUnix)) != 0) return false;
  const char* const path = text + std::strlen(kUnix);
  const size_t length = std::strlen(path);
  if (length == 0 || length >= name->path.size()) return false;
  std::memcpy(name->path.data(), path, length);
  return true;
}

int begin_connection(const char* text) {
  ConnectionName name;
  if (!parse_connection(text, &name)) {
    errno = EINVAL;
    return -1;
  }
  const int made = make_socket(name);
  if (made < 0) return -1;
  const SocketName address = address_of(name);
  if (connect(made, address.generic(), address.length) == 0 || errno == EINPROGRESS) return made;
  return close_and_fail(made, errno);
}

int listen_for_connection(const ConnectionName& name, uint16_t* port) {
  const int made = make_socket(name);
  if (made < 0) return -1;
  const int on = 1;
  // Linux takes the mode of the descriptor for that of the name.
  if (name.kind == ConnectionName::Kind::Unix) (void)fchmod(made, kOwnerOnly);
  if (name.kind == ConnectionName::Kind::Tcp) {
    (void)setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  }
  const SocketName address = address_of(name);
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  if (bind(made, address.generic(), address.length) != 0 || listen(made, 1) != 0) {
    return close_and_fail(made, errno);
  }
  if (name.kind == ConnectionName::Kind::Unix) return made;
  if (getsockname(made, reinterpret_cast<sockaddr*>(&own), &length) != 0) {
    return close_and_fail(made, errno);
  }
  *port = ntohs(own.sin_port);
  return made;
}

int open_datagrams(const ConnectionName& own, const ConnectionName& other) {
  const int made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -1;
  const SocketName from = address_of(own), to = address_of(other);
  if (bind(made, from.generic(), from.length) != 0 || connect(made, to.generic(), to.length) != 0) {
    return close_and_fail(made, errno);
  }
  return made;
}

int accept_connection(int listener) {
  return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int connection_error(int socket) {
  int error = 0;
  socklen_t length = sizeof(error);
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

bool is_local_socket(int socket) {
  constexpr uint32_t kLoopback = 127;
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  if (address.ss_family == AF_UNIX) return true;
  sockaddr_in internet{};
  std::memcpy(&internet, &address, sizeof(internet));
  return address.ss_family == AF_INET && ntohl(internet.sin_addr.s_addr) >> 24 == kLoopback;
}

void send_at_once(int socket) {
  const int on = 1;
  (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // of TCP only
}

long send_some(int socket, const uint8_t* bytes, size_t count) {
  return send(socket, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
}

long receive_some(int socket, uint8_t* bytes, size_t count) {
  return recv(socket, bytes, count, MSG_DONTWAIT);
}

}  // namespace ringshift

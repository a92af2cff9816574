#include "monitor/network/peer_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "devices/host/deserted_socket.h"
#include "monitor/host/host_signals.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

struct SocketName {
  sockaddr_storage bytes{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* generic() const {
    return reinterpret_cast<const sockaddr*>(&bytes);
  }
};

SocketName name_of(const PeerAddress& address) {
  SocketName name;
  if (address.is_unix) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    address.path.copy(at.sun_path, sizeof(at.sun_path) - 1);
    std::memcpy(&name.bytes, &at, sizeof(at));
    name.length = sizeof(at);
  } else {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(address.port);
    at.sin_addr.s_addr = htonl(address.host);
    std::memcpy(&name.bytes, &at, sizeof(at));
    name.length = sizeof(at);
  }
  return name;
}

std::string text_of(const PeerAddress& address) {
  if (address.is_unix) return address.path;
  std::array<char, INET_ADDRSTRLEN> text{};
  const in_addr number{htonl(address.host)};
  return std::string(inet_ntop(AF_INET, &number, text.data(), text.size())) + ":" +
         std::to_string(address.port);
}

// 0, or an errno.
int wait_until_connected(int socket) {
  constexpr int kLook = 20, kLooks = 500;
  for (int i = 0; i < kLooks && !HostSignals::termination_requested(); ++i) {
    pollfd waiting{socket, POLLOUT, 0};
    if (poll(&waiting, 1, kLook) <= 0) continue;
    return connection_error(socket);
  }
  return ETIMEDOUT;
}

int connect_to(int socket, const SocketName& name) {
  if (connect(socket, name.generic(), name.length) == 0) return 0;
  return errno == EINPROGRESS ? wait_until_connected(socket) : errno;
}

int listen_at(int socket, const PeerAddress& address, const SocketName& name) {
  const int on = 1;
  if (address.is_unix) {
    remove_deserted_socket(address.path);
  } else {
    (void)setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  }
  return bind(socket, name.generic(), name.length) == 0 && listen(socket, 1) == 0 ? 0 : errno;
}

}  // namespace

int open_peer_socket(const PeerAddress& address, std::string* error) {
  const SocketName name = name_of(address);
  const int made =
      socket(address.is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int problem = errno;
  if (made >= 0) {
    problem = address.listens ? listen_at(made, address, name) : connect_to(made, name);
    if (problem == 0) {
      if (!address.is_unix) send_at_once(made);
      return made;
    }
    close(made);
  }
  *error = std::string("--net stream: cannot ") + (address.listens ? "listen at " : "connect to ") +
           text_of(address) + ": " + std::strerror(problem);
  return -1;
}

int accept_peer(int listener) {
  const int made = accept_connection(listener);
  if (made >= 0) send_at_once(made);
  return made;
}

}  // namespace ringshift

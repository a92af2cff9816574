// HostSocket, second part: how each kind of it is opened.
#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <cstring>

#include "devices/host/deserted_socket.h"
#include "devices/host/pseudo_terminal.h"
#include "monitor/host/sockets/fifo_pair.h"
#include "monitor/host/sockets/host_socket.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

constexpr int kLookMilliseconds = 10;

}  // namespace

bool HostSocket::open(std::string* error) {
  using Kind = SocketAddress::Kind;
  if (address_.kind == Kind::Pty) return make_terminal(error);
  if (address_.kind == Kind::Fifos) return open_fifos(error);
  if (address_.kind == Kind::Udp) return open_datagram_socket(error);
  if (!address_.connects) return listen(error);
  where_ = address_.name().substr(address_.name().find(':') + 1);
  return address_.again_after.count() != 0 || connect_once(error);
}

bool HostSocket::fail(const char* what, std::string* error) const {
  *error = option_ + ": cannot " + what + " " + where_ + ": " + std::strerror(errno);
  return false;
}

// Waits, once: the program at the other end is there before the machine is.
bool HostSocket::connect_once(std::string* error) {
  // Others may be waiting to be accepted, and as many as may.
  while ((connected_ = begin_connection(address_.name().c_str())) < 0 && errno == EAGAIN) {
    (void)poll(nullptr, 0, kLookMilliseconds);
  }
  if (connected_ < 0) return fail("connect to", error);
  pollfd waited{connected_, POLLOUT, 0};
  while (poll(&waited, 1, -1) < 0 && errno == EINTR) {
  }
  const int problem = connection_error(connected_);
  send_at_once(connected_);
  errno = problem;
  return problem == 0 || fail("connect to", error);
}

bool HostSocket::listen(std::string* error) {
  const bool is_unix = address_.kind == SocketAddress::Kind::Unix;
  where_ = is_unix ? address_.path : fmt::format("{}:{}", address_.host, address_.port);
  ConnectionName name;
  if (!parse_connection(address_.name().c_str(), &name)) {
    *error = option_ + ": " + address_.host + " is not an address of four numbers";
    return false;
  }
  if (is_unix) remove_deserted_socket(address_.path);
  uint16_t port = 0;
  listening_ = listen_for_connection(name, &port);
  if (listening_ < 0) return fail("listen at", error);
  made_path_ = is_unix;
  if (!is_unix) where_ = fmt::format("{}:{}", address_.host, port);
  return true;
}

bool HostSocket::make_terminal(std::string* error) {
  where_ = "a pseudo-terminal";
  hung_up_ = true;
  connected_ = open_pseudo_terminal(&where_);
  return connected_ >= 0 || fail("make", error);
}

bool HostSocket::open_fifos(std::string* error) {
  where_ = address_.path;
  FifoPair pair;
  if (!open_fifo_pair(address_.path, &pair)) return fail("open the FIFOs .in and .out of", error);
  connected_ = pair.read_from;
  written_to_ = pair.written_to;
  return true;
}

bool HostSocket::open_datagram_socket(std::string* error) {
  where_ = fmt::format("{}:{}", address_.host, address_.port);
  ConnectionName own, other;
  const std::string own_name = fmt::format("tcp:{}:{}", address_.own_host, address_.own_port);
  if (!parse_connection(own_name.c_str(), &own) ||
      !parse_connection(("tcp:" + where_).c_str(), &other)) {
    *error = option_ + ": " + where_ + " is not an address of four numbers";
    return false;
  }
  connected_ = open_datagrams(own, other);
  return connected_ >= 0 || fail("send datagrams to", error);
}

}  // namespace ringshift

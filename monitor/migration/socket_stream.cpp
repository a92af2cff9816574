#include "monitor/migration/socket_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

constexpr int kLookMilliseconds = 20;

}  // namespace

SocketStream::SocketStream(int socket, std::function<bool()> is_wanted)
    : socket_(socket), is_wanted_(std::move(is_wanted)), is_local_(is_local_socket(socket)) {
  send_at_once(socket_);
}

SocketStream::~SocketStream() { close(socket_); }

bool SocketStream::wait_for(short events) {
  for (int waited = 0; waited < patience_;) {
    if (!is_wanted_()) {
      end_ = End::NotWanted;
      return false;
    }
    pollfd one{socket_, events, 0};
    const int ready = poll(&one, 1, kLookMilliseconds);
    if (ready > 0) return true;
    if (ready == 0) waited += kLookMilliseconds;
  }
  end_ = End::Silent;
  return false;
}

bool SocketStream::wait_until_connected(std::string* problem) {
  if (!wait_for(POLLOUT)) {
    *problem = end_ == End::Silent ? "nobody answers" : "the end was asked for";
    return false;
  }
  const int error = connection_error(socket_);
  if (error == 0) {
    is_local_ = is_local_socket(socket_);
    return true;
  }
  *problem = std::strerror(error);
  end_ = End::Broken;
  return false;
}

bool SocketStream::has_news() const {
  pollfd one{socket_, POLLIN, 0};
  return poll(&one, 1, 0) > 0;
}

bool SocketStream::wait(int wake, int milliseconds) {
  std::array<pollfd, 2> both{{{socket_, POLLIN, 0}, {wake, POLLIN, 0}}};
  (void)poll(both.data(), both.size(), milliseconds);
  return is_wanted_();
}

// Notes the outcome of a call that moved no bytes. True: it may be tried again.
bool SocketStream::note(long count) {
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  // Data that came before is read before either: a process that has gone has said all it said.
  const bool is_reset = count < 0 && (errno == ECONNRESET || errno == EPIPE);
  end_ = count == 0 || (is_reset && is_local_) ? End::Closed : End::Broken;
  return false;
}

bool SocketStream::read(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const long count = receive_some(socket_, bytes.data(), bytes.size());
    if (count > 0) {
      bytes = bytes.subspan(static_cast<size_t>(count));
    } else if (!note(count) || !wait_for(POLLIN)) {
      return false;
    }
  }
  return true;
}

bool SocketStream::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (!is_wanted_()) {
      end_ = End::NotWanted;
      return false;
    }
    const long count = send_some(socket_, bytes.data(), bytes.size());
    if (count > 0) {
      bytes = bytes.subspan(static_cast<size_t>(count));
    } else if (!note(count) || !wait_for(POLLOUT)) {
      return false;
    }
  }
  return true;
}

}  // namespace ringshift

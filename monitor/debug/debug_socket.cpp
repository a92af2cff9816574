#include "monitor/debug/debug_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/interruption.h"

namespace ringshift::debug {
namespace {

// How long the last words to a debugger may take.
constexpr std::chrono::milliseconds kFarewell{80};
constexpr int kLookMilliseconds = 10;
constexpr mode_t kOwnerOnly = 0600;

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

std::unique_ptr<DebugSocket> DebugSocket::create(const DebugAddress& address, std::string option,
                                                 std::string* error) {
  auto socket = std::unique_ptr<DebugSocket>(new DebugSocket(address, std::move(option)));
  return socket->open(error) ? std::move(socket) : nullptr;
}

bool DebugSocket::open(std::string* error) {
  if (address_.connects) return connect_once(error);
  return address_.kind == DebugAddress::Kind::Tcp ? listen_tcp(error) : listen_unix(error);
}

bool DebugSocket::fail(const char* what, std::string* error) const {
  *error = option_ + ": cannot " + what + " " + where_ + ": " + std::strerror(errno);
  return false;
}

// Blocking, once: the program at the other end is there before the machine is.
bool DebugSocket::connect_once(std::string* error) {
  const bool is_tcp = address_.kind == DebugAddress::Kind::Tcp;
  where_ = is_tcp ? fmt::format("{}:{}", address_.host, address_.port) : address_.path;
  connected_ = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in internet{};
  internet.sin_family = AF_INET;
  internet.sin_port = htons(address_.port);
  const sockaddr_un local = is_tcp ? sockaddr_un{} : unix_address(address_.path);
  const auto* at = is_tcp ? reinterpret_cast<const sockaddr*>(&internet)
                          : reinterpret_cast<const sockaddr*>(&local);
  const socklen_t length = is_tcp ? sizeof(internet) : sizeof(local);
  if (is_tcp && inet_pton(AF_INET, address_.host.c_str(), &internet.sin_addr) != 1)
    errno = EINVAL;
  else if (connected_ >= 0 && connect(connected_, at, length) == 0 &&
           fcntl(connected_, F_SETFL, O_RDWR | O_NONBLOCK) == 0) {
    return true;
  }
  return fail("connect to", error);
}

bool DebugSocket::listen_tcp(std::string* error) {
  where_ = fmt::format("{}:{}", address_.host, address_.port);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(address_.port);
  if (inet_pton(AF_INET, address_.host.c_str(), &at.sin_addr) != 1) {
    *error = option_ + ": " + address_.host + " is not an address of four numbers";
    return false;
  }
  listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  socklen_t length = sizeof(at);
  auto* generic = reinterpret_cast<sockaddr*>(&at);
  if (listening_ < 0 || setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(listening_, generic, length) != 0 || listen(listening_, 1) != 0 ||
      getsockname(listening_, generic, &length) != 0) {
    return fail("listen at", error);
  }
  where_ = fmt::format("{}:{}", address_.host, ntohs(at.sin_port));
  return true;
}

bool DebugSocket::listen_unix(std::string* error) {
  where_ = address_.path;
  const sockaddr_un at = unix_address(address_.path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&at);
  listening_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  remove_deserted_socket(address_.path);
  // Linux takes the mode of the descriptor for that of the name.
  if (listening_ < 0 || fchmod(listening_, kOwnerOnly) != 0 ||
      bind(listening_, generic, sizeof(at)) != 0) {
    return fail("listen at", error);
  }
  made_path_ = true;
  if (listen(listening_, 1) == 0) return true;
  return fail("listen at", error);
}

void DebugSocket::start(std::function<void()> notify) {
  notify_ = std::move(notify);
  thread_.start("debug-socket", [this] { wait_and_read(); });
}

DebugSocket::~DebugSocket() {
  {
    const std::lock_guard lock(mutex_);
    given_up_at_ = Clock::now() + kFarewell;
  }
  thread_.join();
  for (const int descriptor : {connected_, listening_}) {
    if (descriptor >= 0) ::close(descriptor);
  }
  if (made_path_) remove_host_file(address_.path);
}

// ---- the waiting thread ----

// False: the socket is wanted no longer.
bool DebugSocket::prepare_to_wait() {
  const std::lock_guard lock(mutex_);
  const bool is_over = Clock::now() >= given_up_at_;
  const bool has_words = connected_ >= 0 && !outbox_.empty();
  if (thread_.is_stopping() && (is_over || !has_words)) return false;
  const bool reads = connected_ >= 0 && !ended_ && !closing_ && inbox_.size() < kInboxLimit;
  const auto events = static_cast<int16_t>((reads ? POLLIN : 0) | (has_words ? POLLOUT : 0));
  waiting_ = {{{thread_.wake_descriptor(), POLLIN, 0},
               {connected_ < 0 ? listening_ : -1, POLLIN, 0},
               {events != 0 ? connected_ : -1, events, 0}}};
  return true;
}

void DebugSocket::wait_and_read() {
  while (prepare_to_wait()) {
    bool may_give_up = false;
    {
      const std::lock_guard lock(mutex_);
      may_give_up = thread_.is_stopping() || closing_;
    }
    if (poll(waiting_.data(), waiting_.size(), may_give_up ? kLookMilliseconds : -1) < 0) continue;
    if (waiting_[0].revents != 0) thread_.take_wake();
    if (waiting_[1].revents != 0) accept_one();
    if ((waiting_[2].revents & ~POLLOUT) != 0) read_some();
    if ((waiting_[2].revents & POLLOUT) != 0) write_some();
    close_if_done();
  }
}

void DebugSocket::write_some() {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    const bool had_room = outbox_.size() < kEnoughWaits;
    const ssize_t sent =
        ::send(connected_, outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    const bool is_news = !had_room && outbox_.size() < kEnoughWaits;
    const bool has_failed = sent < 0 && errno != EINTR && errno != EAGAIN;
    if (!has_failed && !is_news) return;
    if (has_failed) give_up();
  }
  notify_();
}

// Pre: the mutex is held.
void DebugSocket::give_up() {
  ended_ = broken_ = true;
  outbox_.clear();
}

void DebugSocket::close_if_done() {
  const std::lock_guard lock(mutex_);
  if (!closing_ || (!outbox_.empty() && Clock::now() < given_up_at_)) return;
  if (connected_ >= 0) ::close(connected_);
  connected_ = -1;
  closing_ = ended_ = broken_ = false;
  inbox_.clear();
  outbox_.clear();
}

void DebugSocket::accept_one() {
  const int accepted = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted < 0) return;
  if (address_.kind == DebugAddress::Kind::Tcp) {
    const int on = 1;
    (void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  {
    const std::lock_guard lock(mutex_);
    connected_ = accepted;
    inbox_.clear();
    outbox_.clear();
    ended_ = broken_ = false;
  }
  notify_();
}

void DebugSocket::read_some() {
  std::array<uint8_t, 4096> bytes;
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    const ssize_t count = recv(connected_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) {
      inbox_.insert(inbox_.end(), bytes.begin(), bytes.begin() + count);
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
      ended_ = true;
    }
  }
  notify_();
}

// ---- the vCPU thread ----

bool DebugSocket::is_connected() {
  const std::lock_guard lock(mutex_);
  return connected_ >= 0 && !closing_;
}

DebugSocket::Received DebugSocket::receive() {
  Received received;
  const std::lock_guard lock(mutex_);
  const bool was_full = inbox_.size() >= kInboxLimit;
  received.bytes = std::exchange(inbox_, {});
  received.ended = ended_;
  if (was_full) thread_.wake();
  return received;
}

void DebugSocket::send(std::string_view bytes) {
  bool is_given_up = false;
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0 || closing_ || broken_) return;
    if (outbox_.size() + bytes.size() > kOutboxLimit) {
      is_given_up = true;
      give_up();
    } else {
      outbox_ += bytes;
    }
  }
  // Nothing more is read from it, so nothing else would tell whoever waits for its next words.
  if (is_given_up) notify_();
  thread_.wake();
}

bool DebugSocket::is_broken() {
  const std::lock_guard lock(mutex_);
  return broken_;
}

bool DebugSocket::has_room() {
  const std::lock_guard lock(mutex_);
  return outbox_.size() < kEnoughWaits;
}

void DebugSocket::close() {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    closing_ = true;
    given_up_at_ = Clock::now() + kFarewell;
  }
  thread_.wake();
}

}  // namespace ringshift::debug

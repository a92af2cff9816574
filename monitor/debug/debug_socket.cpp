#include "monitor/debug/debug_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

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

std::string refusal(const std::string& where) {
  return "--gdb: cannot listen at " + where + ": " + std::strerror(errno);
}

}  // namespace

std::unique_ptr<DebugSocket> DebugSocket::create(const DebugAddress& address, std::string* error) {
  auto socket = std::unique_ptr<DebugSocket>(new DebugSocket(address));
  socket->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (socket->wake_ < 0) {
    *error = std::string("--gdb: ") + std::strerror(errno);
    return nullptr;
  }
  const bool listens = address.kind == DebugAddress::Kind::Tcp ? socket->listen_tcp(error)
                                                               : socket->listen_unix(error);
  return listens ? std::move(socket) : nullptr;
}

bool DebugSocket::listen_tcp(std::string* error) {
  where_ = fmt::format("{}:{}", address_.host, address_.port);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(address_.port);
  if (inet_pton(AF_INET, address_.host.c_str(), &at.sin_addr) != 1) {
    *error = "--gdb: " + address_.host + " is not an address of four numbers";
    return false;
  }
  listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  socklen_t length = sizeof(at);
  auto* generic = reinterpret_cast<sockaddr*>(&at);
  if (listening_ < 0 || setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(listening_, generic, length) != 0 || listen(listening_, 1) != 0 ||
      getsockname(listening_, generic, &length) != 0) {
    *error = refusal(where_);
    return false;
  }
  where_ = fmt::format("{}:{}", address_.host, ntohs(at.sin_port));
  return true;
}

// A socket that nobody listens at any more is what a killed run has left.
bool DebugSocket::is_deserted() const {
  struct stat status {};
  if (lstat(address_.path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const sockaddr_un at = unix_address(address_.path);
  const bool refused = connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0 &&
                       errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

bool DebugSocket::listen_unix(std::string* error) {
  where_ = address_.path;
  const sockaddr_un at = unix_address(address_.path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&at);
  listening_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (is_deserted()) unlink(address_.path.c_str());
  // Linux takes the mode of the descriptor for that of the name.
  if (listening_ < 0 || fchmod(listening_, kOwnerOnly) != 0 ||
      bind(listening_, generic, sizeof(at)) != 0) {
    *error = refusal(where_);
    return false;
  }
  made_path_ = true;
  if (listen(listening_, 1) == 0) return true;
  *error = refusal(where_);
  return false;
}

void DebugSocket::start(std::function<void()> notify) {
  notify_ = std::move(notify);
  const QuietThreads quiet;
  thread_ = std::thread([this] { wait_and_read(); });
}

DebugSocket::~DebugSocket() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    given_up_at_ = Clock::now() + kFarewell;
  }
  if (thread_.joinable()) {
    wake_up();
    thread_.join();
  }
  for (const int descriptor : {connected_, listening_, wake_}) {
    if (descriptor >= 0) ::close(descriptor);
  }
  if (made_path_) remove_host_file(address_.path);
}

// ---- the waiting thread ----

void DebugSocket::wake_up() { eventfd_write(wake_, 1); }

// False: the socket is wanted no longer.
bool DebugSocket::prepare_to_wait() {
  const std::lock_guard lock(mutex_);
  const bool is_over = Clock::now() >= given_up_at_;
  const bool has_words = connected_ >= 0 && !ended_ && !outbox_.empty();
  if (stopping_ && (is_over || !has_words)) return false;
  const bool reads = connected_ >= 0 && !ended_ && !closing_ && inbox_.size() < kInboxLimit;
  const auto events = static_cast<int16_t>((reads ? POLLIN : 0) | (has_words ? POLLOUT : 0));
  waiting_ = {{{wake_, POLLIN, 0},
               {connected_ < 0 ? listening_ : -1, POLLIN, 0},
               {events != 0 ? connected_ : -1, events, 0}}};
  return true;
}

void DebugSocket::wait_and_read() {
  while (prepare_to_wait()) {
    bool may_give_up = false;
    {
      const std::lock_guard lock(mutex_);
      may_give_up = stopping_ || closing_;
    }
    if (poll(waiting_.data(), waiting_.size(), may_give_up ? kLookMilliseconds : -1) < 0) continue;
    eventfd_t ignored = 0;
    if (waiting_[0].revents != 0) eventfd_read(wake_, &ignored);
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
    const ssize_t sent =
        ::send(connected_, outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    if (sent >= 0 || errno == EINTR || errno == EAGAIN) return;
    ended_ = true;
  }
  notify_();
}

void DebugSocket::close_if_done() {
  const std::lock_guard lock(mutex_);
  if (!closing_ || (!ended_ && !outbox_.empty() && Clock::now() < given_up_at_)) return;
  if (connected_ >= 0) ::close(connected_);
  connected_ = -1;
  closing_ = ended_ = false;
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
    ended_ = false;
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
  if (was_full) wake_up();
  return received;
}

void DebugSocket::send(std::string_view bytes) {
  bool is_given_up = false;
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0 || closing_ || ended_) return;
    if (outbox_.size() + bytes.size() > kOutboxLimit) {
      is_given_up = ended_ = true;
      outbox_.clear();
    } else {
      outbox_ += bytes;
    }
  }
  // Nothing more is read from it, so nothing else would tell whoever waits for its next words.
  if (is_given_up) notify_();
  wake_up();
}

void DebugSocket::close() {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    closing_ = true;
    given_up_at_ = Clock::now() + kFarewell;
  }
  wake_up();
}

}  // namespace ringshift::debug

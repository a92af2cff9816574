#include "monitor/host/sockets/host_socket.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "devices/host/deserted_socket.h"
#include "devices/host/pseudo_terminal.h"
#include "shadowmmu/base/host_connection.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

// How long the last words to a debugger may take.
constexpr std::chrono::milliseconds kFarewell{80};
constexpr int kLookMilliseconds = 10;
// How often it is looked whether somebody has opened the pseudo-terminal.
constexpr int kTerminalMilliseconds = 100;

}  // namespace

std::unique_ptr<HostSocket> HostSocket::create(const SocketAddress& address, std::string option,
                                               std::string* error) {
  auto socket = std::unique_ptr<HostSocket>(new HostSocket(address, std::move(option)));
  return socket->open(error) ? std::move(socket) : nullptr;
}

bool HostSocket::open(std::string* error) {
  if (address_.kind == SocketAddress::Kind::Pty) return make_terminal(error);
  return address_.connects ? connect_once(error) : listen(error);
}

bool HostSocket::fail(const char* what, std::string* error) const {
  *error = option_ + ": cannot " + what + " " + where_ + ": " + std::strerror(errno);
  return false;
}

// Waits, once: the program at the other end is there before the machine is.
bool HostSocket::connect_once(std::string* error) {
  where_ = address_.name().substr(address_.name().find(':') + 1);
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

void HostSocket::start(std::function<void()> notify) {
  notify_ = std::move(notify);
  thread_.start("host-socket", [this] { wait_and_read(); });
}

HostSocket::~HostSocket() {
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
bool HostSocket::prepare_to_wait() {
  const std::lock_guard lock(mutex_);
  const bool is_over = Clock::now() >= given_up_at_;
  const bool is_there = connected_ >= 0 && !hung_up_;
  const bool has_words = is_there && !outbox_.empty();
  if (thread_.is_stopping() && (is_over || !has_words)) return false;
  const bool reads = is_there && !ended_ && !closing_ && inbox_.size() < kInboxLimit;
  const auto events = static_cast<int16_t>((reads ? POLLIN : 0) | (has_words ? POLLOUT : 0));
  waiting_ = {{{thread_.wake_descriptor(), POLLIN, 0},
               {connected_ < 0 ? listening_ : -1, POLLIN, 0},
               {events != 0 ? connected_ : -1, events, 0}}};
  return true;
}

void HostSocket::wait_and_read() {
  while (prepare_to_wait()) {
    int longest = -1;
    {
      const std::lock_guard lock(mutex_);
      if (hung_up_) longest = kTerminalMilliseconds;
      if (thread_.is_stopping() || closing_) longest = kLookMilliseconds;
    }
    if (poll(waiting_.data(), waiting_.size(), longest) < 0) continue;
    if (waiting_[0].revents != 0) {
      thread_.take_wake();
      tell_if_given_up();
    }
    if (waiting_[1].revents != 0) accept_one();
    if ((waiting_[2].revents & ~POLLOUT) != 0) read_some();
    if ((waiting_[2].revents & POLLOUT) != 0) write_some();
    close_if_done();
    if (is_terminal()) look_at_terminal();
  }
}

// Has somebody opened it, or closed it? What was to go to whoever has is lost.
void HostSocket::look_at_terminal() {
  {
    const std::lock_guard lock(mutex_);
    pollfd waited{connected_, POLLIN, 0};
    // What has been written before it was closed is still to be read.
    const bool hangs = poll(&waited, 1, 0) > 0 && waited.revents == POLLHUP;
    if (std::exchange(hung_up_, hangs) == hangs) return;
    if (hangs) outbox_.clear();
  }
  notify_();
}

void HostSocket::tell_if_given_up() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(gave_up_, false)) return;
  }
  notify_();
}

void HostSocket::write_some() {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    const bool had_room = outbox_.size() < kEnoughWaits;
    const auto* words = reinterpret_cast<const uint8_t*>(outbox_.data());
    const long sent = is_terminal() ? ::write(connected_, words, outbox_.size())
                                    : send_some(connected_, words, outbox_.size());
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    const bool is_news = !had_room && outbox_.size() < kEnoughWaits;
    const bool has_failed = sent < 0 && errno != EINTR && errno != EAGAIN && !is_terminal();
    if (!has_failed && !is_news) return;
    if (has_failed) give_up();
  }
  notify_();
}

// Pre: the mutex is held.
void HostSocket::give_up() {
  ended_ = broken_ = true;
  outbox_.clear();
}

void HostSocket::close_if_done() {
  const std::lock_guard lock(mutex_);
  if (!closing_ || (!outbox_.empty() && Clock::now() < given_up_at_)) return;
  if (connected_ >= 0) ::close(connected_);
  connected_ = -1;
  closing_ = ended_ = broken_ = false;
  inbox_.clear();
  outbox_.clear();
}

void HostSocket::accept_one() {
  const int accepted = accept_connection(listening_);
  if (accepted < 0) return;
  send_at_once(accepted);
  {
    const std::lock_guard lock(mutex_);
    connected_ = accepted;
    inbox_.clear();
    outbox_.clear();
    ended_ = broken_ = false;
  }
  notify_();
}

void HostSocket::read_some() {
  std::array<uint8_t, 4096> bytes;
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    const long count = is_terminal() ? ::read(connected_, bytes.data(), bytes.size())
                                     : receive_some(connected_, bytes.data(), bytes.size());
    if (count > 0) {
      inbox_.insert(inbox_.end(), bytes.begin(), bytes.begin() + count);
    } else if (!is_terminal() && (count == 0 || (errno != EINTR && errno != EAGAIN))) {
      ended_ = true;
    }
  }
  notify_();
}

// ---- the vCPU thread ----

bool HostSocket::is_connected() {
  const std::lock_guard lock(mutex_);
  return connected_ >= 0 && !closing_ && !hung_up_;
}

HostSocket::Received HostSocket::receive() {
  Received received;
  const std::lock_guard lock(mutex_);
  const bool was_full = inbox_.size() >= kInboxLimit;
  received.bytes = std::exchange(inbox_, {});
  received.ended = ended_;
  if (was_full) thread_.wake();
  return received;
}

void HostSocket::send(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0 || closing_ || broken_ || hung_up_) return;
    if (outbox_.size() + bytes.size() > kOutboxLimit) {
      give_up();
      // Nothing more is read from it, so nothing else would tell whoever waits for its next words.
      gave_up_ = true;
    } else {
      outbox_ += bytes;
    }
  }
  thread_.wake();
}

bool HostSocket::has_ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

size_t HostSocket::waiting() {
  const std::lock_guard lock(mutex_);
  return outbox_.size();
}

bool HostSocket::is_broken() {
  const std::lock_guard lock(mutex_);
  return broken_;
}

bool HostSocket::has_room() {
  const std::lock_guard lock(mutex_);
  return outbox_.size() < kEnoughWaits;
}

void HostSocket::close() {
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0 || is_terminal()) return;
    closing_ = true;
    given_up_at_ = Clock::now() + kFarewell;
  }
  thread_.wake();
}

}  // namespace ringshift

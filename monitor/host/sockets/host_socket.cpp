#include "monitor/host/sockets/host_socket.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

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
  for (const int descriptor : {connected_, written_to_, connecting_, listening_}) {
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
  const bool is_pair = written_to_ >= 0;
  const auto events =
      static_cast<int16_t>((reads ? POLLIN : 0) | (has_words && !is_pair ? POLLOUT : 0));
  waiting_ = {{{thread_.wake_descriptor(), POLLIN, 0},
               {connected_ < 0 ? listening_ : -1, POLLIN, 0},
               {events != 0 ? connected_ : -1, events, 0},
               {has_words && is_pair ? written_to_ : connecting_, POLLOUT, 0}}};
  return true;
}

void HostSocket::wait_and_read() {
  while (prepare_to_wait()) {
    int longest = connecting_ >= 0 ? -1 : until_next_try();
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
    if (waiting_[3].revents != 0 && connecting_ >= 0) end_connecting();
    if (waiting_[3].revents != 0 && written_to_ >= 0) write_some();
    close_if_done();
    try_to_connect();
    if (is_terminal()) look_at_terminal();
  }
}

// Looks whether the terminal has been opened or closed. Output for a peer that has closed it is
// lost.
void HostSocket::look_at_terminal() {
  {
    const std::lock_guard lock(mutex_);
    pollfd waited{connected_, POLLIN, 0};
    // Bytes written before the terminal was closed can still be read.
    const bool hangs = poll(&waited, 1, 0) > 0 && waited.revents == POLLHUP;
    if (std::exchange(hung_up_, hangs) == hangs) return;
    if (hangs) outbox_.clear();
  }
  notify_();
}

// In milliseconds; -1: there is none.
int HostSocket::until_next_try() {
  if (address_.again_after.count() == 0) return -1;
  const std::lock_guard lock(mutex_);
  if (connected_ >= 0) return -1;
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(next_try_ - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left + 1, 0, address_.again_after.count()));
}

// Errors are not reported: the next try may be better.
void HostSocket::try_to_connect() {
  if (connecting_ >= 0 || thread_.is_stopping() || until_next_try() != 0) return;
  connecting_ = open_host_file(address_.name(), FileUse::Connect);
  const std::lock_guard lock(mutex_);
  next_try_ = Clock::now() + address_.again_after;
}

void HostSocket::end_connecting() {
  const int made = std::exchange(connecting_, -1);
  if (connection_error(made) == 0) return take_peer(made);
  ::close(made);
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
    const long sent = write_bytes(outbox_);
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    const bool is_news = !had_room && outbox_.size() < kEnoughWaits;
    const bool has_failed = sent < 0 && errno != EINTR && errno != EAGAIN && can_end();
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
  next_try_ = Clock::now() + address_.again_after;
  inbox_.clear();
  outbox_.clear();
}

void HostSocket::accept_one() {
  const int accepted = accept_connection(listening_);
  if (accepted >= 0) take_peer(accepted);
}

void HostSocket::take_peer(int descriptor) {
  send_at_once(descriptor);
  {
    const std::lock_guard lock(mutex_);
    connected_ = descriptor;
    inbox_.clear();
    outbox_.clear();
    ended_ = broken_ = false;
  }
  notify_();
}

long HostSocket::read_bytes(std::span<uint8_t> bytes) const {
  const bool is_file = is_terminal() || written_to_ >= 0;
  return is_file ? ::read(connected_, bytes.data(), bytes.size())
                 : receive_some(connected_, bytes.data(), bytes.size());
}

// A datagram that cannot be sent is lost, as others are on their way.
long HostSocket::write_bytes(std::string_view bytes) const {
  constexpr size_t kMostInDatagram = 1400;
  const auto* words = reinterpret_cast<const uint8_t*>(bytes.data());
  if (written_to_ >= 0) return ::write(written_to_, words, bytes.size());
  if (is_terminal()) return ::write(connected_, words, bytes.size());
  if (can_end()) return send_some(connected_, words, bytes.size());
  const size_t part = std::min(bytes.size(), kMostInDatagram);
  const long sent = send_some(connected_, words, part);
  const bool is_lost = sent < 0 && errno != EAGAIN && errno != EINTR;
  return is_lost ? static_cast<long>(part) : sent;
}

void HostSocket::read_some() {
  std::array<uint8_t, 4096> bytes;
  {
    const std::lock_guard lock(mutex_);
    if (connected_ < 0) return;
    const long count = read_bytes(bytes);
    if (count > 0) {
      inbox_.insert(inbox_.end(), bytes.begin(), bytes.begin() + count);
    } else if (can_end() && (count == 0 || (errno != EINTR && errno != EAGAIN))) {
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
      // Nothing more is read from it, so nothing else would tell the waiting reader.
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
    if (connected_ < 0 || !can_end()) return;
    closing_ = true;
    given_up_at_ = Clock::now() + kFarewell;
  }
  thread_.wake();
}

}  // namespace ringshift

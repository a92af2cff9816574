#include "monitor/network/network_port.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "devices/virtio/tcp_frames.h"
#include "monitor/host/time/host_clock.h"

namespace ringshift {

static_assert(kMostLargeFrame == kLongestLargeFrame);

NetworkPort::NetworkPort(NetworkLink& link, Inbox& inbox) : NetworkPort(link, inbox, Pair{}) {}

NetworkPort::NetworkPort(NetworkLink& link, Inbox& inbox, Pair pair)
    : GuestPackets(frames_of(link.request())),
      link_(link),
      inbox_(inbox),
      pair_(std::move(pair)),
      is_live_(pair_.is_live) {
  if (link.rate() != 0) {
    sent_.emplace(link.rate());
    read_.emplace(link.rate());
  }
  thread_.start("network", [this] { serve(); });
  tell_link();  // a machine that is gone on with may have been told something else
}

NetworkPort::~NetworkPort() { thread_.join(); }

void NetworkPort::on_sent(std::span<const uint8_t> frame) {
  link_.traffic().sent_frames.fetch_add(1, std::memory_order_relaxed);
  link_.traffic().sent_bytes.fetch_add(frame.size(), std::memory_order_relaxed);
  if (pair_.hold) {
    std::vector<uint8_t> with_length;
    append_frame(frame, &with_length);
    return pair_.hold(with_length);
  }
  const std::lock_guard lock(mutex_);
  append_frame(frame, &outgoing_);
}

void NetworkPort::push(std::span<const uint8_t> frames) {
  {
    const std::lock_guard lock(mutex_);
    outgoing_.insert(outgoing_.end(), frames.begin(), frames.end());
  }
  thread_.wake();
}

void NetworkPort::flush() {
  {
    const std::lock_guard lock(mutex_);
    if (outgoing_.empty()) return;
  }
  if (send_at_once()) return;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(thread_is_woken_, true)) return;
  }
  thread_.wake();
}

// False: it is for the thread to send.
bool NetworkPort::send_at_once() {
  constexpr size_t kLittle = size_t{8} << 10;
  if (sent_ || link_.has_dump()) return false;
  const std::unique_lock link(link_mutex_, std::try_to_lock);
  if (!link.owns_lock() || !link_.is_idle()) return false;
  std::vector<uint8_t> frames;
  {
    const std::lock_guard lock(mutex_);
    if (outgoing_.size() > kLittle) return false;
    frames = std::exchange(outgoing_, {});
  }
  const size_t bytes = frames.size();
  const bool is_gone = link_.try_send(std::move(frames));
  note_moved(bytes);
  return is_gone;
}

// Frames that left by the other machine, and that the guest has not been told of, are told of by
// this one.
void NetworkPort::go_live(size_t held) {
  {
    const std::lock_guard lock(mutex_);
    moved_ = outgoing() - std::min(outgoing(), held);
  }
  is_live_.store(true);
  is_link_told_.store(false);
  if (link_.is_up() != is_up()) tell_link();
  thread_.wake();
}

void NetworkPort::on_taken(size_t bytes) {
  link_.traffic().taken_frames.fetch_add(1, std::memory_order_relaxed);
  link_.traffic().taken_bytes.fetch_add(bytes - kFramePrefix, std::memory_order_relaxed);
  bool wakes = false;
  {
    const std::lock_guard lock(mutex_);
    in_flight_ -= std::min(in_flight_, bytes);  // of a pair, some were read by the other
    wakes = thread_waits_ && in_flight_ < kMostReceived / 2;
    if (wakes) thread_waits_ = false;
  }
  if (wakes) thread_.wake();
}

void NetworkPort::take_in(const HostInput& input) {
  GuestPackets::take_in(input);
  if (input.kind != HostInput::Kind::NetworkLink) return;
  is_link_told_.store(false);
  if (link_.is_up() != is_up()) tell_link();
}

void NetworkPort::tell_link() {
  if (is_live_.load() && !is_link_told_.exchange(true)) inbox_.put(link_input(link_.is_up()));
}

bool NetworkPort::finish() {
  thread_.join();
  return link_.dump_is_whole();
}

// ---- the thread ----

void NetworkPort::serve() {
  while (serve_once()) {
  }
}

// With the mutex held: all of it, or at a rate a few frames at a time.
std::vector<uint8_t> NetworkPort::take_outgoing() {
  constexpr size_t kAtOnce = size_t{16} << 10;
  if (!sent_ || outgoing_.size() <= kAtOnce) return std::exchange(outgoing_, {});
  size_t end = 0;
  while (end < kAtOnce) end += kFramePrefix + frame_length(std::span(outgoing_).subspan(end));
  const auto cut = outgoing_.begin() + static_cast<ptrdiff_t>(end);
  std::vector<uint8_t> frames(outgoing_.begin(), cut);
  outgoing_.erase(outgoing_.begin(), cut);
  return frames;
}

void NetworkPort::move_outgoing() {
  const std::lock_guard link(link_mutex_);
  if (!link_.is_idle() || (sent_ && sent_->due(HostClock::monotonic()) != 0)) return;
  std::vector<uint8_t> frames;
  {
    const std::lock_guard lock(mutex_);
    thread_is_woken_ = false;
    frames = take_outgoing();
  }
  if (sent_) sent_->take(frames.size());
  const size_t bytes = frames.size();
  if (bytes != 0) link_.send(std::move(frames));
  note_moved(bytes);
}

// The guest is told in lumps, of which it never waits for more than one.
void NetworkPort::note_moved(size_t bytes) {
  size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    moved_ += bytes;
    if (moved_ >= kMostOutgoing / 2) left = std::exchange(moved_, 0);
  }
  if (left != 0) inbox_.put(room_input(static_cast<uint32_t>(left)));
}

// In milliseconds: until something may move again that a rate holds back; -1: nothing is held back.
int NetworkPort::longest_wait() {
  if (!sent_) return -1;
  constexpr Nanoseconds kMillisecond = 1'000'000, kLongest = 1000;
  const Nanoseconds now = HostClock::monotonic();
  Nanoseconds wait = read_->due(now);
  {
    const std::lock_guard lock(mutex_);
    if (!outgoing_.empty() && link_.is_idle()) {
      const Nanoseconds until = sent_->due(now);
      if (until == 0) return 0;  // the next few frames may go
      wait = wait == 0 ? until : std::min(wait, until);
    }
  }
  return wait == 0 ? -1 : static_cast<int>(std::min(wait / kMillisecond + 1, kLongest));
}

bool NetworkPort::may_read() {
  if (read_ && read_->due(HostClock::monotonic()) != 0) return false;
  const std::lock_guard lock(mutex_);
  thread_waits_ = in_flight_ >= kMostReceived;
  return !thread_waits_;
}

bool NetworkPort::serve_once() {
  if (thread_.is_stopping()) return false;
  const bool was_up = link_.is_up();
  move_outgoing();
  std::array<pollfd, 2> waiting{{{thread_.wake_descriptor(), POLLIN, 0}, {}}};
  const bool reads = may_read();
  {
    const std::lock_guard link(link_mutex_);
    link_.flush_dump();
    waiting[1] = link_.waiting_for(reads);
  }
  if (poll(waiting.data(), waiting.size(), longest_wait()) < 0) return true;
  if (waiting[0].revents != 0) thread_.take_wake();
  std::vector<uint8_t> frames;
  {
    const std::lock_guard link(link_mutex_);
    link_.serve(waiting[1].revents, &frames);
  }
  if (!frames.empty() && is_live_.load()) {
    if (read_) read_->take(frames.size());
    {
      const std::lock_guard lock(mutex_);
      in_flight_ += frames.size();
    }
    inbox_.put(frames_input(std::move(frames)));
  }
  if (link_.is_up() != was_up) tell_link();
  return true;
}

}  // namespace ringshift

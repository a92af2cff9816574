#include "monitor/share/share_port.h"

#include <poll.h>

#include <array>
#include <utility>

#include "devices/virtio/virtio_number.h"

namespace ringshift {

SharePort::SharePort(ShareLink& link, Inbox& inbox) : link_(link), inbox_(inbox) {
  link_.begin_life();
  thread_.start("share", [this] { serve(); });
}

// What is on its way stays the link's to count, though nobody waits for it any more.
SharePort::~SharePort() {
  thread_.join();
  for (const HostInput& input : inbox_.take()) {
    if (input.kind == HostInput::Kind::ShareMessages) received_.append(input.bytes);
  }
  while (!received().empty()) take_received();
  for (std::span<const uint8_t> unsent = outgoing_; !unsent.empty();) {
    link_.give_up(static_cast<uint16_t>(number_at(unsent, kFileTagAt, 2)));
    unsent = unsent.subspan(static_cast<size_t>(number_at(unsent, 0, 4)));
  }
}

// Without a tag an answer is waited for, which comes anyway.
bool SharePort::has_room() const {
  if (!link_.has_free_tag()) return false;
  const std::lock_guard lock(mutex_);
  room_is_wanted_ = outgoing_.size() >= kMostOutgoing;
  return !room_is_wanted_;
}

void SharePort::send(std::span<const uint8_t> message) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = outgoing_.empty();
    link_.note_request(message, &outgoing_);
  }
  if (is_first) thread_.wake();
}

std::span<const uint8_t> SharePort::received() const {
  const std::span<const uint8_t> waiting = received_.waiting();
  if (waiting.empty()) return {};
  return waiting.first(static_cast<size_t>(number_at(waiting, 0, 4)));
}

void SharePort::take_received() {
  const std::span<const uint8_t> message = received();
  const size_t bytes = message.size();
  link_.note_answer(message);
  received_.drop(bytes);
  bool wakes = false;
  {
    const std::lock_guard lock(mutex_);
    in_flight_ -= bytes;
    wakes = thread_waits_ && in_flight_ < kMostReceived / 2;
    if (wakes) thread_waits_ = false;
  }
  if (wakes) thread_.wake();
}

void SharePort::take_in(const HostInput& input) {
  if (input.kind == HostInput::Kind::ShareMessages) received_.append(input.bytes);
  if (on_change_) on_change_();
}

// ---- the thread ----

void SharePort::serve() {
  while (serve_once()) {
  }
}

void SharePort::move_outgoing() {
  if (!link_.is_idle()) return;
  std::vector<uint8_t> messages;
  bool tells = false;
  {
    const std::lock_guard lock(mutex_);
    messages = std::exchange(outgoing_, {});
    tells = std::exchange(room_is_wanted_, false);
  }
  if (!messages.empty()) link_.send(std::move(messages));
  if (tells) inbox_.put({HostInput::Kind::ShareChange, 0, {}});
}

bool SharePort::may_read() {
  const std::lock_guard lock(mutex_);
  thread_waits_ = in_flight_ >= kMostReceived;
  return !thread_waits_;
}

bool SharePort::serve_once() {
  if (thread_.is_stopping()) return false;
  const bool was_up = link_.is_up();
  move_outgoing();
  std::array<pollfd, 2> waiting{
      {{thread_.wake_descriptor(), POLLIN, 0}, link_.waiting_for(may_read())}};
  // What was sent may have found that the server has gone.
  const bool may_wait = link_.is_up() == was_up;
  if (poll(waiting.data(), waiting.size(), may_wait ? -1 : 0) < 0) return true;
  if (waiting[0].revents != 0) thread_.take_wake();
  std::vector<uint8_t> messages;
  link_.serve(waiting[1].revents, &messages);
  if (!messages.empty()) {
    {
      const std::lock_guard lock(mutex_);
      in_flight_ += messages.size();
    }
    inbox_.put({HostInput::Kind::ShareMessages, 0, std::move(messages)});
  }
  if (link_.is_up() != was_up) inbox_.put({HostInput::Kind::ShareChange, 0, {}});
  return true;
}

}  // namespace ringshift

#include "monitor/share/share_port.h"

#include <poll.h>

#include <array>
#include <utility>

#include "devices/virtio/virtio_number.h"

namespace ringshift {

SharePort::SharePort(ShareLink& link, Inbox& inbox) : link_(link), inbox_(inbox) {
  tags() = link_.tags();
  tags().begin_life();
  if (!link_.is_up()) inbox_.put(end_input());
  thread_.start("share", [this] { serve(); });
}

// The link goes on counting requests on their way, though nobody waits for the answers any more.
SharePort::~SharePort() {
  thread_.join();
  for (const HostInput& input : inbox_.take()) {
    if (input.kind == HostInput::Kind::ShareMessages) drop_answers(input.bytes);
  }
  drop_answers({});
  for (std::span<const uint8_t> unsent = outgoing_; !unsent.empty();) {
    give_up(file_tag_of(unsent));
    unsent = unsent.subspan(static_cast<size_t>(number_at(unsent, 0, 4)));
  }
  link_.tags() = tags();
}

void SharePort::on_sent(std::span<const uint8_t> message) {
  bool is_first = false;
  {
    const std::lock_guard lock(mutex_);
    is_first = outgoing_.empty();
    link_.append_request(message, &outgoing_);
    waiting_ += message.size();
  }
  if (is_first) thread_.wake();
}

void SharePort::on_taken(size_t bytes) {
  bool wakes = false;
  {
    const std::lock_guard lock(mutex_);
    in_flight_ -= bytes;
    wakes = thread_waits_ && in_flight_ < kMostReceived / 2;
    if (wakes) thread_waits_ = false;
  }
  if (wakes) thread_.wake();
}

// ---- the thread ----

void SharePort::serve() {
  while (serve_once()) {
  }
}

void SharePort::move_outgoing() {
  if (!link_.is_idle()) return;
  std::vector<uint8_t> messages;
  size_t left = 0;  // to be told: in lumps, of which the guest never waits for more than one
  {
    const std::lock_guard lock(mutex_);
    messages = std::exchange(outgoing_, {});
    moved_ += std::exchange(waiting_, 0);
    if (moved_ >= kMostOutgoing / 2) left = std::exchange(moved_, 0);
  }
  if (!messages.empty()) link_.send(std::move(messages));
  if (left != 0) inbox_.put(room_input(static_cast<uint32_t>(left)));
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
  // Sending may have shown that the server has gone.
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
    inbox_.put(answers_input(std::move(messages)));
  }
  if (link_.is_up() != was_up) inbox_.put(end_input());
  return true;
}

}  // namespace ringshift

#include "monitor/share/guest_files.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr size_t kCountBytes = 4;

// 0: it is no message.
size_t length_of_first(std::span<const uint8_t> bytes) {
  if (bytes.size() < kFileHeader) return 0;
  const auto length = static_cast<size_t>(number_at(bytes, 0, 4));
  return length < kFileHeader || length > kMostFileMessage ? 0 : length;
}

bool are_messages(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const size_t length = length_of_first(bytes);
    if (length == 0 || length > bytes.size()) return false;
    bytes = bytes.subspan(length);
  }
  return true;
}

}  // namespace

void GuestFiles::send(std::span<const uint8_t> message) {
  tags_.note_request(message);
  outgoing_ += message.size();
  sent_hash_ = hash_bytes(message, sent_hash_);
  on_sent(message);
}

std::span<const uint8_t> GuestFiles::received() const {
  const std::span<const uint8_t> waiting = received_.waiting();
  if (waiting.empty()) return {};
  return waiting.first(length_of_first(waiting));
}

void GuestFiles::take_received() {
  const std::span<const uint8_t> message = received();
  const size_t bytes = message.size();
  tags_.note_answer(message);
  received_.drop(bytes);
  on_taken(bytes);
}

void GuestFiles::drop_answers(std::span<const uint8_t> messages) {
  received_.append(messages);
  while (!received().empty()) take_received();
}

void GuestFiles::take_in(const HostInput& input) {
  using Kind = HostInput::Kind;
  if (input.kind == Kind::ShareMessages) {
    // A port that reads the server's socket never comes to this; a tape may.
    if (received_.size() < 2 * kMostReceived) received_.append(input.bytes);
  } else if (input.kind == Kind::ShareRoom) {
    const auto left = static_cast<size_t>(number_at(input.bytes, 0, kCountBytes));
    outgoing_ -= std::min(outgoing_, left);
  } else if (input.kind == Kind::ShareEnd) {
    is_up_ = false;
  }
  if (on_change_) on_change_();
}

void GuestFiles::visit_state(StateArchive& archive) {
  std::vector<uint8_t> answers(received_.waiting().begin(), received_.waiting().end());
  uint64_t outgoing = outgoing_;
  archive.part("tags", tags_);
  archive.list("answers", answers, std::numeric_limits<size_t>::max());
  archive.field("outgoing", outgoing);
  archive.field("up", is_up_);
  archive.field("sent hash", sent_hash_);
  if (!archive.has_loaded()) return;
  received_ = {};
  received_.append(answers);
  outgoing_ = outgoing;
}

HostInput GuestFiles::answers_input(std::vector<uint8_t> messages) {
  return {HostInput::Kind::ShareMessages, 0, std::move(messages)};
}

HostInput GuestFiles::room_input(uint32_t bytes) {
  HostInput input{HostInput::Kind::ShareRoom, 0, {}};
  for (size_t i = 0; i < kCountBytes; ++i) {
    input.bytes.push_back(static_cast<uint8_t>(bytes >> (8 * i)));
  }
  return input;
}

HostInput GuestFiles::end_input() { return {HostInput::Kind::ShareEnd, 0, {}}; }

bool GuestFiles::is_sound(const HostInput& input) {
  switch (input.kind) {
    case HostInput::Kind::ShareMessages:
      return are_messages(input.bytes);
    case HostInput::Kind::ShareRoom:
      return input.bytes.size() == kCountBytes;
    case HostInput::Kind::ShareEnd:
      return input.bytes.empty();
    default:
      return false;
  }
}

}  // namespace ringshift

#include "monitor/network/guest_packets.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "monitor/network/frame_stream.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr size_t kCountBytes = 4;

bool are_frames(std::span<const uint8_t> bytes) {
  while (bytes.size() >= kFramePrefix) {
    const size_t length = frame_length(bytes);
    if (length < kLeastFrame || length > kMostFrame) return false;
    if (length > bytes.size() - kFramePrefix) return false;
    bytes = bytes.subspan(kFramePrefix + length);
  }
  return bytes.empty();
}

}  // namespace

void GuestPackets::send(std::span<const uint8_t> frame) {
  outgoing_ += kFramePrefix + frame.size();
  sent_hash_ = hash_bytes(frame, sent_hash_);
  on_sent(frame);
}

std::span<const uint8_t> GuestPackets::received() const {
  const std::span<const uint8_t> waiting = received_.waiting();
  if (waiting.empty()) return {};
  return waiting.subspan(kFramePrefix, frame_length(waiting));
}

void GuestPackets::take_received() {
  const size_t bytes = kFramePrefix + frame_length(received_.waiting());
  received_.drop(bytes);
  on_taken(bytes);
}

void GuestPackets::take_in(const HostInput& input) {
  using Kind = HostInput::Kind;
  if (input.kind == Kind::NetworkFrames) {
    // A port that reads the host's socket never comes to this; a tape may.
    if (received_.size() < 2 * kMostReceived) received_.append(input.bytes);
  } else if (input.kind == Kind::NetworkRoom) {
    size_t left = 0;
    for (size_t i = kCountBytes; i > 0; --i) left = left << 8 | input.bytes[i - 1];
    outgoing_ -= std::min(outgoing_, left);
  } else if (input.kind == Kind::NetworkLink) {
    is_up_ = input.bytes[0] != 0;
  }
  if (on_change_) on_change_();
}

void GuestPackets::visit_state(StateArchive& archive) {
  std::vector<uint8_t> frames(received_.waiting().begin(), received_.waiting().end());
  uint64_t outgoing = outgoing_;
  archive.list("frames", frames, std::numeric_limits<size_t>::max());
  archive.field("outgoing", outgoing);
  archive.field("up", is_up_);
  archive.field("sent hash", sent_hash_);
  if (!archive.has_loaded()) return;
  received_ = {};
  received_.append(frames);
  outgoing_ = outgoing;
}

HostInput GuestPackets::frames_input(std::vector<uint8_t> frames) {
  return {HostInput::Kind::NetworkFrames, 0, std::move(frames)};
}

HostInput GuestPackets::room_input(uint32_t bytes) {
  HostInput input{HostInput::Kind::NetworkRoom, 0, {}};
  for (size_t i = 0; i < kCountBytes; ++i) {
    input.bytes.push_back(static_cast<uint8_t>(bytes >> (8 * i)));
  }
  return input;
}

HostInput GuestPackets::link_input(bool is_up) {
  return {HostInput::Kind::NetworkLink, 0, {static_cast<uint8_t>(is_up ? 1 : 0)}};
}

bool GuestPackets::is_sound(const HostInput& input) {
  switch (input.kind) {
    case HostInput::Kind::NetworkFrames:
      return are_frames(input.bytes);
    case HostInput::Kind::NetworkRoom:
      return input.bytes.size() == kCountBytes;
    case HostInput::Kind::NetworkLink:
      return input.bytes.size() == 1 && input.bytes[0] <= 1;
    default:
      return false;
  }
}

}  // namespace ringshift

#include "devices/virtio/virtio_net.h"

#include <algorithm>
#include <optional>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Features (5.1.3).
constexpr uint64_t kSums = 1U << 0, kGuestSums = 1U << 1;  // left to complete, to us and by us
constexpr uint64_t kGuestTso4 = 1U << 7, kGuestTso6 = 1U << 8;
constexpr uint64_t kHostTso4 = 1U << 11, kHostTso6 = 1U << 12;
constexpr uint64_t kMergesBuffers = 1U << 15;
constexpr uint64_t kHasAddress = 1U << 5, kHasStatus = 1U << 16;
constexpr unsigned kConfigBytes = 8, kStatusAt = 6;
constexpr uint8_t kLinkUp = 1;

// struct virtio_net_hdr (5.1.6).
constexpr uint8_t kNeedsSum = 1, kSumIsRight = 2;  // flags
constexpr uint8_t kNoSegments = 0, kTcpIpv4 = 1, kTcpIpv6 = 4, kCongestion = 0x80;
constexpr unsigned kFlagsAt = 0, kSegmentsAt = 1, kHeadersAt = 2, kSegmentBytesAt = 4;
constexpr unsigned kSumStartAt = 6, kSumOffsetAt = 8, kBufferCountAt = 10;
constexpr size_t kTcpSumOffset = 16;

// The bytes that one call moves before the processor goes on, and the least that a frame counts as.
constexpr size_t kMostAtOnce = size_t{1} << 20, kLeastCost = 4096;

}  // namespace

VirtioNet::VirtioNet(PacketPort& port, const MacAddress& address, bool takes_any_address)
    : port_(port), address_(address), takes_any_address_(takes_any_address) {
  port_.set_on_change([this] { on_port_change(); });
}

void VirtioNet::on_port_change() {
  if (port_.is_up() != told_up_) {
    told_up_ = port_.is_up();
    transport().note_config_change();
  }
  transport().serve_soon(kReceiveQueue);
  transport().serve_soon(kTransmitQueue);
}

VirtioKind VirtioNet::kind() const {
  return {.name = "virtio-net",
          .id = 1,
          .pci_device = 0x1000,
          .class_code = 0x020000,
          .features = kHasAddress | kHasStatus | kSums | kGuestSums | kGuestTso4 | kGuestTso6 |
                      kHostTso4 | kHostTso6 | kMergesBuffers,
          .queues = 2,
          .config_bytes = kConfigBytes};
}

uint8_t VirtioNet::config_byte(unsigned offset) const {
  if (offset < address_.size()) return address_[offset];
  return offset == kStatusAt && port_.is_up() ? kLinkUp : 0;
}

size_t VirtioNet::header_bytes() const {
  const bool is_long =
      transport().has_feature(kVirtioVersion1) || transport().has_feature(kMergesBuffers);
  return is_long ? kHeaderBytes : kLegacyHeaderBytes;
}

VirtioDevice::Served VirtioNet::serve(unsigned queue) {
  return queue == kReceiveQueue ? receive() : transmit();
}

// ---- to the driver ----

// A frame waits in the port for a buffer. A driver's buffers hold the longest frame, or enough of
// them together do (5.1.6.3.1); if one does not hold the frame, the driver has made no sense.
VirtioDevice::Served VirtioNet::receive() {
  for (size_t cost = 0; cost < kMostAtOnce;) {
    const std::span<const uint8_t> frame = port_.received();
    if (frame.empty()) return Served::All;
    buffer_count_ = 0;
    room_ = 0;
    const Room room = take_buffers(header_bytes() + frame.size());
    if (room == Room::Broken) return Served::Broken;
    if (room == Room::None) {
      put_back(buffer_count_);
      return Served::All;
    }
    train_.begin(frame);
    port_.take_received();
    if (may_join() && join_more() == Room::Broken) return Served::Broken;
    train_.finish();
    cost += std::max(kLeastCost, train_.bytes().size());
    give_to_driver();
  }
  return Served::More;
}

VirtioNet::Room VirtioNet::take_buffers(size_t bytes) {
  Virtqueue& queue = transport().queue(kReceiveQueue);
  while (room_ < bytes) {
    if (buffer_count_ != 0 && !transport().has_feature(kMergesBuffers)) return Room::Broken;
    if (buffers_.size() == buffer_count_) buffers_.emplace_back();
    DescriptorChain& chain = buffers_[buffer_count_];
    const Virtqueue::Taken taken = queue.take(&chain);
    if (taken == Virtqueue::Taken::None) return Room::None;
    // The header is in the first of them (5.1.6.4).
    const size_t least = buffer_count_ == 0 ? header_bytes() : 1;
    if (taken == Virtqueue::Taken::Broken || chain.readable.bytes() != 0 ||
        chain.writable.bytes() < least) {
      return Room::Broken;
    }
    room_ += chain.writable.bytes();
    ++buffer_count_;
  }
  return Room::Enough;
}

// The last ones that were taken.
void VirtioNet::put_back(size_t count) {
  transport().queue(kReceiveQueue).put_back(static_cast<uint16_t>(count));
  buffer_count_ -= count;
}

bool VirtioNet::may_join() const {
  if (!train_.can_grow() || !transport().has_feature(kGuestSums)) return false;
  return transport().has_feature(train_.places().is_ipv4 ? kGuestTso4 : kGuestTso6);
}

// Frames that wait and follow, as far as there are buffers for them.
VirtioNet::Room VirtioNet::join_more() {
  const bool merges = transport().has_feature(kMergesBuffers);
  while (train_.can_grow()) {
    const std::span<const uint8_t> next = port_.received();
    if (next.empty()) break;
    if (merges) {
      const Room room = take_buffers(header_bytes() + train_.bytes().size() + next.size());
      if (room == Room::Broken) return room;
    }
    if (!train_.add(next, static_cast<size_t>(room_) - header_bytes())) break;
    port_.take_received();
  }
  const size_t needed = header_bytes() + train_.bytes().size();
  while (room_ - buffers_[buffer_count_ - 1].writable.bytes() >= needed) {
    room_ -= buffers_[buffer_count_ - 1].writable.bytes();
    put_back(1);
  }
  return Room::Enough;
}

// 5.1.6.4.1: for a large packet, the size of its segments, and that its sum is to be completed; for
// another one, whether its sums have been found right.
VirtioNet::Header VirtioNet::header_of_train() const {
  Header header{};
  const auto put = [&header](unsigned at, size_t value) {
    header[at] = static_cast<uint8_t>(value);
    header[at + 1] = static_cast<uint8_t>(value >> 8);
  };
  put(kBufferCountAt, buffer_count_);
  if (train_.is_several()) {
    const TcpPlaces& places = train_.places();
    header[kFlagsAt] = kNeedsSum;
    header[kSegmentsAt] = places.is_ipv4 ? kTcpIpv4 : kTcpIpv6;
    put(kHeadersAt, places.payload);
    put(kSegmentBytesAt, train_.segment_bytes());
    put(kSumStartAt, places.tcp);
    put(kSumOffsetAt, kTcpSumOffset);
  } else if (train_.is_valid() && transport().has_feature(kGuestSums)) {
    header[kFlagsAt] = kSumIsRight;
  }
  return header;
}

// All of them at once: the driver runs when this is done.
void VirtioNet::give_to_driver() {
  const Header header = header_of_train();
  std::span<const uint8_t> left = train_.bytes();
  for (size_t i = 0; i < buffer_count_; ++i) {
    DescriptorChain& chain = buffers_[i];
    size_t written = 0;
    if (i == 0) {
      chain.writable.put(transport().memory(), std::span(header).first(header_bytes()));
      written = header_bytes();
    }
    const auto part = static_cast<size_t>(std::min<uint64_t>(left.size(), chain.writable.bytes()));
    chain.writable.put(transport().memory(), left.first(part));
    left = left.subspan(part);
    transport().queue(kReceiveQueue).give_back(chain.head, written + part);
  }
}

// ---- from the driver ----

VirtioDevice::Served VirtioNet::transmit() {
  const Served served = send_what_waits();
  port_.flush();
  return served;
}

VirtioDevice::Served VirtioNet::send_what_waits() {
  Virtqueue& queue = transport().queue(kTransmitQueue);
  Header header{};
  for (size_t cost = 0; cost < kMostAtOnce;) {
    if (!port_.has_room()) return Served::All;
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    if (taken == Virtqueue::Taken::Broken || chain_.readable.bytes() < header_bytes()) {
      return Served::Broken;
    }
    chain_.readable.take(transport().memory(), std::span(header).first(header_bytes()));
    const uint64_t bytes = chain_.readable.bytes();
    if (bytes >= kLeastFrame && bytes <= kLongestLargeFrame) {
      packet_.resize(static_cast<size_t>(bytes));
      chain_.readable.take(transport().memory(), packet_);
      send(header);
      cost += packet_.size();
    }
    queue.give_back(chain_.head, 0);
    cost += kLeastCost;
  }
  return Served::More;
}

// 5.1.6.2: a driver leaves the sum of a sent frame to be completed, and large packets of TCP to be
// cut, if it has agreed to. A frame whose header makes no sense is dropped.
void VirtioNet::send(const Header& header) {
  if (header[kSegmentsAt] != kNoSegments) return send_large(header);
  if (packet_.size() > kLongestFrame) return;
  if ((header[kFlagsAt] & kNeedsSum) != 0 && transport().has_feature(kSums)) {
    const auto start = static_cast<size_t>(number_at(header, kSumStartAt, 2));
    const auto offset = static_cast<size_t>(number_at(header, kSumOffsetAt, 2));
    if (!complete_sum(packet_, start, start + offset)) return;
  }
  port_.send(packet_);
}

void VirtioNet::send_large(const Header& header) {
  const unsigned segments = header[kSegmentsAt] & ~unsigned{kCongestion};
  const bool is_ipv4 = segments == kTcpIpv4;
  if (!is_ipv4 && segments != kTcpIpv6) return;
  if (!transport().has_feature(is_ipv4 ? kHostTso4 : kHostTso6)) return;
  const std::optional<TcpPlaces> places = find_tcp(packet_, LengthFrom::Frame);
  const auto segment = static_cast<size_t>(number_at(header, kSegmentBytesAt, 2));
  if (!places || places->is_ipv4 != is_ipv4) return;
  if (segment < kLeastSegment || places->payload + segment > kLongestFrame) return;
  if (port_.takes_large() || packet_.size() <= places->payload + segment) {
    complete_packet(packet_, *places);
    return port_.send(packet_);
  }
  TcpCutter cutter(packet_, *places, segment);
  while (cutter.has_more()) port_.send(cutter.next());
}

void VirtioNet::visit_state(StateArchive& archive) {
  uint64_t address = 0;
  for (const uint8_t byte : address_) address = address << 8 | byte;
  if (archive.is_loading() && takes_any_address_) {
    archive.dropped("address");
  } else {
    archive.same("address", address);
  }
  if (archive.version() >= 2) archive.field("link", told_up_);
}

}  // namespace ringshift

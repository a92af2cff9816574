// E1000, second part: descriptors that the driver has filled become frames (Intel
// 317453, 3.3, 3.4).
#include <algorithm>

#include "devices/network/e1000.h"
#include "devices/virtio/tcp_frames.h"

namespace ringshift {

using namespace e1000;

namespace {

// The bytes that one call moves before the processor goes on, and the least that a packet counts
// as.
constexpr size_t kMostAtOnce = size_t{1} << 20, kLeastCost = 4096;

constexpr uint8_t kEndOfPacket = 1, kInsertSum = 4, kReport = 8, kExtended = 0x20, kTagged = 0x40;
constexpr uint8_t kSegments = 4;  // of an extended data descriptor
constexpr uint8_t kDone = 1;
constexpr unsigned kCommandAt = 11, kStatusAt = 12;

uint64_t address_in(std::span<const uint8_t, kDescriptorBytes> d) {
  uint64_t address = 0;
  for (unsigned i = 8; i > 0; --i) address = address << 8 | d[i - 1];
  return address;
}

}  // namespace

void E1000::transmit() {
  send_what_waits();
  port_.flush();
}

void E1000::send_what_waits() {
  for (budget_ = 0; budget_ < kMostAtOnce;) {
    if (packet_.has_frame()) {
      if (!send_next_frame()) return;
      continue;
    }
    const Ring now = ring(kTdbal);
    if ((value(kTctl) & kTxEnable) == 0 || !is_bus_master() || now.waiting() == 0) return;
    Descriptor descriptor;
    const uint64_t place = now.address(now.head);
    memory_.read_ram(place, descriptor);
    budget_ += kLeastCost;
    take_descriptor(descriptor);
    if ((descriptor[kCommandAt] & kReport) != 0) write_back(place, &descriptor, kDone);
    at(kTdh) = (now.head + 1) % now.entries;
    raise(((descriptor[kCommandAt] & kReport) != 0 ? kTxWrittenBack : 0) |
          (at(kTdh) == now.tail ? kTxQueueEmpty : 0));
  }
  more_.arm(0);
}

// False: it has to wait, and the port calls when it need not.
bool E1000::send_next_frame() {
  if (!port_.has_room()) return false;
  const bool may_be_large = port_.takes_large() && packet_.is_in_segments();
  const std::span<const uint8_t> frame = packet_.next_frame(may_be_large);
  budget_ += std::max(kLeastCost, frame.size());
  const size_t most = may_be_large ? kLongestLargeFrame : kLongestFrame;
  if (frame.size() < kLeastFrame || frame.size() > most) return true;
  count_frame(frame, kGptc, kMptc, kBptc, kGotcl);
  if ((value(kRctl) & kLoopBack) == 0) port_.send(frame);
  return true;
}

void E1000::take_descriptor(const Descriptor& d) {
  const uint8_t command = d[kCommandAt];
  const bool is_extended = (command & kExtended) != 0;
  if (is_extended && d[10] >> 4 == 0) {
    return packet_.set_context(E1000Packet::parse_context(d));
  }
  const bool is_first = !packet_.is_begun();
  // 3.3.3: the tag's type is VET's, the rest is in the last word.
  const uint32_t tag = (command & kTagged) != 0 && (value(kCtrl) & kVlanMode) != 0
                           ? value(kVet) << 16 | static_cast<uint32_t>(d[15] << 8 | d[14])
                           : 0;
  if (is_extended) {
    const uint8_t options = d[13];
    if (is_first) {
      packet_.begin({.ip_sum = (options & 1) != 0,
                     .payload_sum = (options & 2) != 0,
                     .segments = (command & kSegments) != 0,
                     .tag = tag});
    }
    gather(address_in(d), d[8] | static_cast<uint32_t>(d[9] << 8) | (d[10] & 0xfU) << 16);
  } else {
    if (is_first) packet_.begin({.tag = tag});
    if ((command & kInsertSum) != 0) packet_.ask_for_sum(d[13], d[10]);
    gather(address_in(d), d[8] | static_cast<uint32_t>(d[9] << 8));
  }
  if ((command & kEndOfPacket) != 0) packet_.finish();
}

void E1000::gather(uint64_t address, uint32_t bytes) {
  std::array<uint8_t, 4096> piece;
  while (bytes != 0) {
    const auto count = std::min<size_t>(bytes, piece.size());
    const auto part = std::span(piece).first(count);
    memory_.read_ram(address, part);
    budget_ += count;
    if (!packet_.append(part)) return;
    address += count;
    bytes -= static_cast<uint32_t>(count);
  }
}

void E1000::write_back(uint64_t address, Descriptor* descriptor, uint8_t status) {
  (*descriptor)[kStatusAt] = static_cast<uint8_t>((*descriptor)[kStatusAt] | status);
  memory_.write_ram(address + kStatusAt, std::span(*descriptor).subspan(kStatusAt, 1));
}

// 13.7: whole frames with their four bytes of check sequence.
void E1000::count_frame(std::span<const uint8_t> frame, uint32_t good, uint32_t multicast,
                        uint32_t broadcast, uint32_t octets) {
  constexpr uint32_t kSequence = 4;
  const bool is_sent = good == kGptc;
  ++at(good);
  ++at(is_sent ? kTpt : kTpr);
  if (std::all_of(frame.begin(), frame.begin() + 6, [](uint8_t byte) { return byte == 0xff; })) {
    ++at(broadcast);
  } else if ((frame[0] & 1) != 0) {
    ++at(multicast);
  }
  for (const uint32_t low : {octets, uint32_t{is_sent ? kTotl : kTorl}}) {
    const uint64_t sum = (uint64_t{value(low + 4)} << 32 | value(low)) + frame.size() + kSequence;
    at(low) = static_cast<uint32_t>(sum);
    at(low + 4) = static_cast<uint32_t>(sum >> 32);
  }
}

}  // namespace ringshift

// E1000, third part: frames that have come are put into the driver's buffers (Intel 317453, 3.2).
#include <zlib.h>

#include <algorithm>

#include "devices/network/e1000.h"

namespace ringshift {

using namespace e1000;

namespace {

constexpr size_t kMostAtOnce = size_t{1} << 20, kLeastCost = 4096;
constexpr size_t kAddressBytes = 6, kBehindAddresses = 12, kTagBytes = 4;
constexpr size_t kShortestOnWire = 60, kSequenceBytes = 4;
// Bits of a descriptor's status.
constexpr uint8_t kDone = 1, kEndOfPacket = 2, kSumsUnchecked = 4, kHadTag = 8;

bool has_tag(std::span<const uint8_t> frame, uint32_t type) {
  return frame.size() >= kBehindAddresses + kTagBytes &&
         static_cast<uint32_t>(frame[12] << 8 | frame[13]) == type;
}

}  // namespace

void E1000::receive() {
  size_t cost = 0;
  while (cost < kMostAtOnce) {
    const std::span<const uint8_t> frame = port_.received();
    if (frame.empty() || (value(kRctl) & kRxEnable) == 0 || !is_bus_master()) return;
    cost += kLeastCost;
    if (frame.size() < kLeastFrame || frame.size() > kLongestFrame || !accepts(frame)) {
      port_.take_received();
      continue;
    }
    uint32_t tag = 0;
    make_received(frame, &tag);
    const Ring now = ring(kRdbal);
    // All that is needed, or nothing is begun.
    if (size_t{now.waiting()} * buffer_bytes() < received_.size()) return;
    count_frame(frame, kGprc, kMprc, kBprc, kGorcl);
    port_.take_received();
    store_received(now, tag);
  }
  more_.arm(0);
}

bool E1000::accepts(std::span<const uint8_t> frame) const {
  if ((value(kRctl) & kVlanFilter) != 0 && has_tag(frame, value(kVet))) {
    const auto number = static_cast<uint32_t>(frame[14] << 8 | frame[15]) & 0xfff;
    if ((value(kVfta + number / 32 * 4) >> (number & 31) & 1) == 0) return false;
  }
  return passes_address(frame);
}

// 3.2.1: one of sixteen addresses exactly, or a bit of a hash of 4,096.
bool E1000::passes_address(std::span<const uint8_t> frame) const {
  const uint32_t control = value(kRctl);
  const bool is_group = (frame[0] & 1) != 0;
  const bool is_broadcast = std::all_of(frame.begin(), frame.begin() + kAddressBytes,
                                        [](uint8_t byte) { return byte == 0xff; });
  if (is_broadcast && (control & kTakeBroadcast) != 0) return true;
  if ((control & (is_group ? kAllMulticast : kAllUnicast)) != 0) return true;
  for (uint32_t at = kRal; at < kRaEnd; at += 8) {
    const uint32_t low = value(at), high = value(at + 4);
    bool is_this = (high & kAddressValid) != 0;
    for (unsigned i = 0; i < kAddressBytes && is_this; ++i) {
      is_this = frame[i] == static_cast<uint8_t>(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
    }
    if (is_this) return true;
  }
  if (!is_group || is_broadcast) return false;
  constexpr unsigned kShifts[] = {4, 3, 2, 0};
  const uint32_t last = static_cast<uint32_t>(frame[5] << 8 | frame[4]);
  const uint32_t hash = last >> kShifts[control >> 12 & 3] & 0xfff;
  return (value(kMta + hash / 32 * 4) >> (hash & 31) & 1) != 0;
}

// RCTL.BSIZE, times sixteen with BSEX; the fourth of those is reserved.
uint32_t E1000::buffer_bytes() const {
  constexpr uint32_t kSizes[] = {2048, 1024, 512, 256};
  const uint32_t size = kSizes[value(kRctl) >> 16 & 3];
  return (value(kRctl) & kBufferExtension) != 0 && size != 2048 ? size * 16 : size;
}

// The frame as the driver gets it: as long as one on a wire, without its tag (CTRL.VME), with its
// check sequence (unless RCTL.SECRC).
void E1000::make_received(std::span<const uint8_t> frame, uint32_t* tag) {
  received_.assign(frame.begin(), frame.end());
  if ((value(kCtrl) & kVlanMode) != 0 && has_tag(frame, value(kVet))) {
    constexpr uint32_t kPresent = 1U << 16;
    *tag = kPresent | static_cast<uint32_t>(frame[14] << 8 | frame[15]);
    received_.erase(received_.begin() + kBehindAddresses,
                    received_.begin() + kBehindAddresses + kTagBytes);
  }
  if (received_.size() < kShortestOnWire) received_.resize(kShortestOnWire);
  if ((value(kRctl) & kStripCrc) != 0) return;
  const auto sequence =
      static_cast<uint32_t>(crc32(0, received_.data(), static_cast<uInt>(received_.size())));
  for (unsigned i = 0; i < kSequenceBytes; ++i) {
    received_.push_back(static_cast<uint8_t>(sequence >> (8 * i)));
  }
}

void E1000::store_received(const Ring& ring, uint32_t tag) {
  const uint32_t size = buffer_bytes();
  uint32_t head = ring.head;
  for (size_t done = 0; done < received_.size();) {
    const uint64_t place = ring.address(head);
    std::array<uint8_t, 8> pointer;
    memory_.read_ram(place, pointer);
    uint64_t buffer = 0;
    for (unsigned i = 8; i > 0; --i) buffer = buffer << 8 | pointer[i - 1];
    const size_t count = std::min<size_t>(size, received_.size() - done);
    // A buffer at zero is none: the bytes are skipped.
    if (buffer != 0) memory_.write_ram(buffer, std::span(received_).subspan(done, count));
    done += count;
    const bool is_last = done == received_.size();
    const uint8_t status =
        static_cast<uint8_t>(kDone | kSumsUnchecked | (is_last ? kEndOfPacket : 0) |
                             (is_last && tag != 0 ? kHadTag : 0));
    const std::array<uint8_t, 8> written{
        static_cast<uint8_t>(count), static_cast<uint8_t>(count >> 8), 0, 0, status, 0,
        static_cast<uint8_t>(tag),   static_cast<uint8_t>(tag >> 8)};
    memory_.write_ram(place + 8, written);
    head = (head + 1) % ring.entries;
  }
  at(kRdh) = head;
  // RCTL.RDMTS: few are left, of which a half, a quarter or an eighth is few.
  const uint32_t left = (ring.tail + ring.entries - head) % ring.entries;
  const uint32_t few = ring.entries >> (1 + std::min(value(kRctl) >> 8 & 3, 2U));
  raise(kRxTimer | (left <= few ? kRxLow : 0));
}

}  // namespace ringshift

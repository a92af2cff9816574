#include "devices/network/e1000_packet.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

uint16_t word_at(std::span<const uint8_t> bytes, size_t at) {  // as networks have it
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

void put_word(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  if (at + 2 > bytes.size()) return;
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// The sum of RFC 1071 over [start, end); its complement replaces the bytes at `at`. Places outside
// the frame: nothing.
void put_sum(std::span<uint8_t> frame, size_t start, size_t end, size_t at, bool no_zero) {
  end = std::min(end, frame.size());
  if (start >= end || at + 2 > frame.size()) return;
  uint64_t sum = 0;
  for (size_t i = start; i + 1 < end; i += 2) sum += word_at(frame, i);
  if (((end - start) & 1) != 0) sum += static_cast<uint32_t>(frame[end - 1]) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  const auto complement = static_cast<uint16_t>(~sum);
  put_word(frame, at, complement == 0 && no_zero ? 0xffff : complement);
}

uint16_t little_word(std::span<const uint8_t, 16> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] | bytes[at + 1] << 8);
}

}  // namespace

E1000Packet::Context E1000Packet::parse_context(std::span<const uint8_t, 16> d) {
  constexpr uint8_t kTcp = 1, kIpv4 = 2;
  const uint8_t command = d[11];
  return {.ip_start = d[0],
          .ip_sum_at = d[1],
          .ip_end = little_word(d, 2),
          .payload_start = d[4],
          .payload_sum_at = d[5],
          .payload_end = little_word(d, 6),
          .payload_bytes = little_word(d, 8) | (d[10] & 0xfU) << 16,
          .is_tcp = (command & kTcp) != 0,
          .is_ipv4 = (command & kIpv4) != 0,
          .header_bytes = d[13],
          .segment_bytes = little_word(d, 14)};
}

void E1000Packet::clear() {
  bytes_.clear();
  begun_ = finished_ = too_long_ = legacy_sum_ = false;
  sent_ = 0;
  options_ = {};
}

void E1000Packet::begin(const Options& options) {
  clear();
  begun_ = true;
  options_ = options;
}

void E1000Packet::ask_for_sum(uint8_t start, uint8_t at) {
  legacy_sum_ = true;
  sum_start_ = start;
  sum_at_ = at;
}

bool E1000Packet::append(std::span<const uint8_t> bytes) {
  too_long_ |= bytes.size() > kMostBytes - bytes_.size();
  if (!too_long_) bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return !too_long_;
}

void E1000Packet::finish() { finished_ = true; }

bool E1000Packet::can_be_cut() const {
  return context_.segment_bytes != 0 && context_.header_bytes >= 14 &&
         bytes_.size() > size_t{context_.header_bytes} + sent_;
}

// As far as a length in an IP packet can say it.
bool E1000Packet::can_be_whole() const {
  constexpr size_t kLongestIp = 65535;
  return context_.is_tcp && sent_ == 0 && bytes_.size() <= kLongestIp + context_.ip_start;
}

std::span<const uint8_t> E1000Packet::next_frame(bool whole) {
  if (too_long_ || (options_.segments && !can_be_cut())) {
    clear();
    return {};
  }
  if (options_.segments) {
    make_segment(whole && can_be_whole() ? bytes_.size() : context_.segment_bytes);
  } else {
    frame_ = bytes_;
    put_sums(frame_);
    insert_tag();
    clear();
    return frame_;
  }
  put_sums(frame_);
  insert_tag();
  if (context_.header_bytes + size_t{sent_} >= bytes_.size()) clear();
  return frame_;
}

// 3.5: lengths, the number of the IPv4 packet and the sequence of TCP go on from one to the next;
// FIN and PSH are the last one's.
void E1000Packet::make_segment(size_t most) {
  const size_t header = context_.header_bytes;
  const size_t left = bytes_.size() - header - sent_;
  const size_t count = std::min(left, most);
  const uint32_t number = sent_ / context_.segment_bytes;
  const auto begin = bytes_.begin();
  frame_.assign(begin, begin + static_cast<ptrdiff_t>(header));
  const auto from = begin + static_cast<ptrdiff_t>(header + sent_);
  frame_.insert(frame_.end(), from, from + static_cast<ptrdiff_t>(count));
  const std::span<uint8_t> frame(frame_);
  const size_t ip = context_.ip_start, payload = context_.payload_start;
  constexpr size_t kIpv6Header = 40;
  if (context_.is_ipv4) {
    put_word(frame, ip + 2, static_cast<uint32_t>(frame.size() - std::min(frame.size(), ip)));
    if (ip + 6 <= header) put_word(frame, ip + 4, word_at(frame, ip + 4) + number);
  } else {
    put_word(frame, ip + 4,
             static_cast<uint32_t>(frame.size() - std::min(frame.size(), ip + kIpv6Header)));
  }
  const auto payload_bytes = static_cast<uint32_t>(frame.size() - std::min(frame.size(), payload));
  if (context_.is_tcp && payload + 14 <= header) {
    const uint32_t sequence =
        (static_cast<uint32_t>(word_at(frame, payload + 4)) << 16 | word_at(frame, payload + 6)) +
        sent_;
    put_word(frame, payload + 4, sequence >> 16);
    put_word(frame, payload + 6, sequence);
    constexpr uint8_t kFinAndPush = 0x09;
    if (count != left) frame[payload + 13] &= static_cast<uint8_t>(~kFinAndPush);
  } else if (!context_.is_tcp) {
    put_word(frame, payload + 4, payload_bytes);
  }
  // The driver's partial sum leaves the length out, which differs from one to the next.
  if (options_.payload_sum && size_t{context_.payload_sum_at} + 2 <= header) {
    uint32_t sum = word_at(frame, context_.payload_sum_at) + payload_bytes;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    put_word(frame, context_.payload_sum_at, sum);
  }
  sent_ += static_cast<uint32_t>(count);
}

void E1000Packet::put_sums(std::span<uint8_t> frame) const {
  if (legacy_sum_) return put_sum(frame, sum_start_, frame.size(), sum_at_, false);
  // An end of zero is that of the frame; others are of the last byte.
  const auto end_of = [&](uint16_t end) { return end == 0 ? frame.size() : size_t{end} + 1; };
  if (options_.ip_sum) {
    if (options_.segments) put_word(frame, context_.ip_sum_at, 0);
    put_sum(frame, context_.ip_start, end_of(context_.ip_end), context_.ip_sum_at, false);
  }
  if (options_.payload_sum) {
    put_sum(frame, context_.payload_start, end_of(context_.payload_end), context_.payload_sum_at,
            true);
  }
}

void E1000Packet::insert_tag() {
  constexpr size_t kBehindAddresses = 12;
  if (options_.tag == 0 || frame_.size() < kBehindAddresses) return;
  const auto tag = static_cast<uint32_t>(options_.tag);
  const uint8_t bytes[] = {static_cast<uint8_t>(tag >> 24), static_cast<uint8_t>(tag >> 16),
                           static_cast<uint8_t>(tag >> 8), static_cast<uint8_t>(tag)};
  frame_.insert(frame_.begin() + kBehindAddresses, std::begin(bytes), std::end(bytes));
}

void E1000Packet::visit_state(StateArchive& archive) {
  archive.field("ip start", context_.ip_start);
  archive.field("ip sum at", context_.ip_sum_at);
  archive.field("ip end", context_.ip_end);
  archive.field("payload start", context_.payload_start);
  archive.field("payload sum at", context_.payload_sum_at);
  archive.field("payload end", context_.payload_end);
  archive.field("payload bytes", context_.payload_bytes, 0, 0xfffff);
  archive.field("tcp", context_.is_tcp);
  archive.field("ipv4", context_.is_ipv4);
  archive.field("header bytes", context_.header_bytes);
  archive.field("segment bytes", context_.segment_bytes);
  archive.field("wants ip sum", options_.ip_sum);
  archive.field("wants payload sum", options_.payload_sum);
  archive.field("in segments", options_.segments);
  archive.field("tag", options_.tag);
  archive.field("begun", begun_);
  archive.field("finished", finished_);
  archive.field("too long", too_long_);
  archive.field("legacy sum", legacy_sum_);
  archive.field("sum start", sum_start_);
  archive.field("sum at", sum_at_);
  archive.field("sent", sent_, 0, kMostBytes);
  archive.list("bytes", bytes_, kMostBytes);
  archive.require(sent_ <= bytes_.size() && (!finished_ || begun_), "sent",
                  "more than the packet has");
}

}  // namespace ringshift

#include "devices/virtio/tcp_frames.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace ringshift {
namespace {

constexpr size_t kTypeAt = 12, kEthernet = 14;
constexpr uint16_t kIpv4Type = 0x0800, kIpv6Type = 0x86dd;
constexpr uint8_t kTcp = 6;
constexpr size_t kIpv4Header = 20, kIpv6Header = 40, kTcpHeader = 20;
constexpr size_t kLongestIp = 65535;
// In an IPv4 header: its length, its identification, its flags, its protocol, its sum.
constexpr size_t kTotalAt = 2, kNumberAt = 4, kFragmentAt = 6, kProtocolAt = 9, kIpSumAt = 10;
constexpr size_t kIpv4Addresses = 12, kIpv6Addresses = 8, kIpv6LengthAt = 4, kNextHeaderAt = 6;
// In a TCP header.
constexpr size_t kSequenceAt = 4, kAcknowledgedAt = 8, kHeaderLengthAt = 12, kFlagsAt = 13;
constexpr size_t kWindowAt = 14, kTcpSumAt = 16, kUrgentAt = 18;
constexpr uint8_t kFin = 1, kPush = 8, kAck = 16, kReduced = 0x80;

uint16_t word_at(std::span<const uint8_t> bytes, size_t at) {  // as networks have it
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

uint32_t number_at(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint32_t>(word_at(bytes, at)) << 16 | word_at(bytes, at + 2);
}

void put_word(std::span<uint8_t> bytes, size_t at, size_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

void put_number(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  put_word(bytes, at, value >> 16);
  put_word(bytes, at + 2, value & 0xffff);
}

constexpr uint32_t fold(uint64_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

// The sum of RFC 1071, not complemented: of words as the host has them, and turned at the end.
uint32_t sum_of(std::span<const uint8_t> bytes) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t sum = 0;
  size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {
    uint32_t words = 0;
    std::memcpy(&words, bytes.data() + at, sizeof(words));
    sum += words;
  }
  std::array<uint8_t, 4> rest{};
  std::copy(bytes.begin() + static_cast<ptrdiff_t>(at), bytes.end(), rest.begin());
  uint32_t words = 0;
  std::memcpy(&words, rest.data(), sizeof(words));
  const uint32_t folded = fold(sum + words);
  return (folded & 0xff) << 8 | folded >> 8;
}

uint32_t pseudo_sum(std::span<const uint8_t> frame, const TcpPlaces& places, size_t end) {
  const size_t addresses = places.is_ipv4 ? kIpv4Addresses : kIpv6Addresses;
  const size_t bytes = places.is_ipv4 ? 8 : 32;
  return fold(uint64_t{sum_of(frame.subspan(places.ip + addresses, bytes))} + kTcp + end -
              places.tcp);
}

void put_ip_lengths(std::span<uint8_t> frame, const TcpPlaces& places) {
  if (!places.is_ipv4) {
    return put_word(frame, places.ip + kIpv6LengthAt, frame.size() - places.ip - kIpv6Header);
  }
  put_word(frame, places.ip + kTotalAt, frame.size() - places.ip);
  put_word(frame, places.ip + kIpSumAt, 0);
  const auto header = frame.subspan(places.ip, places.tcp - places.ip);
  put_word(frame, places.ip + kIpSumAt, ~sum_of(header) & 0xffff);
}

std::optional<size_t> ipv4_end(std::span<const uint8_t> frame, LengthFrom from, TcpPlaces* places) {
  constexpr uint8_t kVersion = 4;
  const auto ip = frame.subspan(places->ip);
  if (ip.size() < kIpv4Header || ip[0] >> 4 != kVersion) return std::nullopt;
  constexpr uint16_t kMoreOrOffset = 0x3fff;
  if (ip[kProtocolAt] != kTcp || (word_at(ip, kFragmentAt) & kMoreOrOffset) != 0) {
    return std::nullopt;
  }
  const size_t header = size_t{ip[0] & 0xfU} * 4;
  if (header < kIpv4Header) return std::nullopt;
  places->tcp = places->ip + header;
  places->is_ipv4 = true;
  return from == LengthFrom::Frame ? frame.size() : places->ip + word_at(ip, kTotalAt);
}

std::optional<size_t> ipv6_end(std::span<const uint8_t> frame, LengthFrom from, TcpPlaces* places) {
  constexpr uint8_t kVersion = 6;
  const auto ip = frame.subspan(places->ip);
  if (ip.size() < kIpv6Header || ip[0] >> 4 != kVersion || ip[kNextHeaderAt] != kTcp) {
    return std::nullopt;
  }
  places->tcp = places->ip + kIpv6Header;
  return from == LengthFrom::Frame ? frame.size() : places->tcp + word_at(ip, kIpv6LengthAt);
}

bool are_equal(std::span<const uint8_t> a, std::span<const uint8_t> b, size_t at, size_t bytes) {
  return std::memcmp(a.data() + at, b.data() + at, bytes) == 0;
}

}  // namespace

std::optional<TcpPlaces> find_tcp(std::span<const uint8_t> frame, LengthFrom from) {
  TcpPlaces places{.ip = kEthernet};
  if (frame.size() < kEthernet) return std::nullopt;
  const uint16_t type = word_at(frame, kTypeAt);
  std::optional<size_t> end;
  if (type == kIpv4Type) end = ipv4_end(frame, from, &places);
  if (type == kIpv6Type) end = ipv6_end(frame, from, &places);
  if (!end || *end > frame.size() || *end - places.ip > kLongestIp ||
      *end < places.tcp + kTcpHeader) {
    return std::nullopt;
  }
  const size_t header = size_t{frame[places.tcp + kHeaderLengthAt]} / 16 * 4;
  places.payload = places.tcp + header;
  places.end = *end;
  if (header < kTcpHeader || places.payload > *end) return std::nullopt;
  return places;
}

bool has_good_sums(std::span<const uint8_t> frame, const TcpPlaces& places) {
  constexpr uint32_t kGood = 0xffff;
  const auto header = frame.subspan(places.ip, places.tcp - places.ip);
  if (places.is_ipv4 && sum_of(header) != kGood) return false;
  const auto segment = frame.subspan(places.tcp, places.end - places.tcp);
  return fold(uint64_t{sum_of(segment)} + pseudo_sum(frame, places, places.end)) == kGood;
}

// A sum of zero is written as its other form: to UDP it would be none.
bool complete_sum(std::span<uint8_t> frame, size_t start, size_t at) {
  if (start >= frame.size() || at < start || at + 2 > frame.size()) return false;
  const uint32_t sum = ~sum_of(frame.subspan(start)) & 0xffff;
  put_word(frame, at, sum == 0 ? 0xffff : sum);
  return true;
}

void complete_packet(std::span<uint8_t> frame, const TcpPlaces& places) {
  put_ip_lengths(frame, places);
  put_word(frame, places.tcp + kTcpSumAt, pseudo_sum(frame, places, frame.size()));
  (void)complete_sum(frame, places.tcp, places.tcp + kTcpSumAt);
}

// The number of an IPv4 packet and TCP's sequence go on from one to the next; FIN and PSH are the
// last one's, CWR is the first one's.
std::span<const uint8_t> TcpCutter::next() {
  const size_t left = packet_.size() - places_.payload - done_;
  const size_t count = std::min(left, segment_bytes_);
  const auto payload = packet_.subspan(places_.payload + done_, count);
  frame_.assign(packet_.begin(), packet_.begin() + static_cast<ptrdiff_t>(places_.payload));
  frame_.insert(frame_.end(), payload.begin(), payload.end());
  const std::span<uint8_t> frame(frame_);
  if (places_.is_ipv4) {
    const size_t at = places_.ip + kNumberAt;
    put_word(frame, at, (word_at(frame, at) + done_ / segment_bytes_) & 0xffff);
  }
  const auto tcp = frame.subspan(places_.tcp);
  put_number(tcp, kSequenceAt, number_at(tcp, kSequenceAt) + static_cast<uint32_t>(done_));
  if (count != left) tcp[kFlagsAt] &= static_cast<uint8_t>(~(kFin | kPush));
  if (done_ != 0) tcp[kFlagsAt] &= static_cast<uint8_t>(~kReduced);
  TcpPlaces places = places_;
  places.end = frame.size();
  complete_packet(frame, places);
  done_ += count;
  return frame_;
}

void TcpTrain::begin(std::span<const uint8_t> frame) {
  bytes_.assign(frame.begin(), frame.end());
  frames_ = 1;
  is_valid_ = can_grow_ = false;
  const std::optional<TcpPlaces> places = find_tcp(frame, LengthFrom::Header);
  if (!places || !has_good_sums(frame, *places)) return;
  is_valid_ = true;
  places_ = *places;
  segment_bytes_ = places->end - places->payload;
  const size_t plain = places->ip + (places->is_ipv4 ? kIpv4Header : kIpv6Header);
  can_grow_ = frame[places->tcp + kFlagsAt] == kAck && places->tcp == plain &&
              segment_bytes_ >= kLeastSegment && places->end == frame.size();
}

// All fields are the same except those that go on, the sums, the window, and that the last one may
// push.
bool TcpTrain::follows(std::span<const uint8_t> frame, const TcpPlaces& places) const {
  if (places.is_ipv4 != places_.is_ipv4 || places.tcp != places_.tcp ||
      places.payload != places_.payload || places.end != frame.size()) {
    return false;
  }
  const size_t ip = places.ip, tcp = places.tcp;
  const bool is_same_ip =
      places.is_ipv4 ? are_equal(frame, bytes_, ip, kTotalAt) &&
                           are_equal(frame, bytes_, ip + kFragmentAt, kIpSumAt - kFragmentAt) &&
                           are_equal(frame, bytes_, ip + kIpv4Addresses, 8)
                     : are_equal(frame, bytes_, ip, kIpv6LengthAt) &&
                           are_equal(frame, bytes_, ip + kNextHeaderAt, 2 + 32);
  const uint32_t next =
      number_at(bytes_, tcp + kSequenceAt) + static_cast<uint32_t>(bytes_.size() - places_.payload);
  return is_same_ip && are_equal(frame, bytes_, 0, kEthernet) &&
         are_equal(frame, bytes_, tcp, kSequenceAt) &&
         number_at(frame, tcp + kSequenceAt) == next &&
         are_equal(frame, bytes_, tcp + kAcknowledgedAt, kFlagsAt - kAcknowledgedAt) &&
         (frame[tcp + kFlagsAt] & ~kPush) == kAck &&
         are_equal(frame, bytes_, tcp + kUrgentAt, places.payload - tcp - kUrgentAt);
}

bool TcpTrain::add(std::span<const uint8_t> frame, size_t most) {
  if (!can_grow_) return false;
  const std::optional<TcpPlaces> places = find_tcp(frame, LengthFrom::Header);
  if (!places || !follows(frame, *places)) return false;
  const auto payload = frame.subspan(places->payload);
  const bool fits = bytes_.size() + payload.size() <= std::min(most, kEthernet + kLongestIp);
  if (payload.empty() || payload.size() > segment_bytes_ || !fits) return false;
  if (!has_good_sums(frame, *places)) return false;
  const size_t tcp = places_.tcp;
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  bytes_[tcp + kFlagsAt] |= frame[tcp + kFlagsAt];
  put_word(bytes_, tcp + kWindowAt, word_at(frame, tcp + kWindowAt));
  ++frames_;
  // A short one and one that pushes are the last.
  can_grow_ = payload.size() == segment_bytes_ && (frame[tcp + kFlagsAt] & kPush) == 0;
  return true;
}

void TcpTrain::finish() {
  if (!is_several()) return;
  places_.end = bytes_.size();
  put_ip_lengths(bytes_, places_);
  put_word(bytes_, places_.tcp + kTcpSumAt, pseudo_sum(bytes_, places_, bytes_.size()));
}

}  // namespace ringshift

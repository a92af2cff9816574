// Frames of TCP with sums that are right, made by other code than the tested one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ringshift {

struct TcpFrame {
  bool is_ipv6 = false;
  uint32_t sequence = 1000;
  uint32_t acknowledged = 77;
  uint8_t flags = 0x10;  // ACK
  uint16_t window = 500;
  uint16_t number = 9;  // of the IPv4 packet
  uint8_t hops = 64;
  size_t payload = 100;
  uint8_t first = 0;  // of the payload, which counts up
  std::vector<uint8_t> options{};
};

inline uint32_t plain_sum(std::span<const uint8_t> bytes, uint32_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); ++i) sum += bytes[i] * (i % 2 == 0 ? 256U : 1U);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

inline size_t ip_bytes(const TcpFrame& what) { return what.is_ipv6 ? 40 : 20; }
inline size_t header_bytes(const TcpFrame& what) {
  return 14 + ip_bytes(what) + 20 + what.options.size();
}

inline void put_wide(std::vector<uint8_t>& bytes, size_t at, uint64_t value, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    bytes[at + i] = static_cast<uint8_t>(value >> (8 * (count - 1 - i)));
  }
}

inline uint64_t wide_at(std::span<const uint8_t> bytes, size_t at, unsigned count) {
  uint64_t value = 0;
  for (unsigned i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

// The sum of the pseudo-header before TCP's header, not complemented.
inline uint32_t pseudo_sum_of(std::span<const uint8_t> frame, bool is_ipv6, size_t tcp) {
  const auto addresses = is_ipv6 ? frame.subspan(22, 32) : frame.subspan(26, 8);
  return plain_sum(addresses, static_cast<uint32_t>(6 + frame.size() - tcp));
}

inline std::vector<uint8_t> make_frame(const TcpFrame& what) {
  std::vector<uint8_t> frame(header_bytes(what) + what.payload);
  const size_t ip = 14, tcp = ip + ip_bytes(what);
  for (size_t i = 0; i < 12; ++i) frame[i] = static_cast<uint8_t>(2 + i);
  put_wide(frame, 12, what.is_ipv6 ? 0x86dd : 0x0800, 2);
  if (what.is_ipv6) {
    put_wide(frame, ip, 0x60000000, 4);
    put_wide(frame, ip + 4, frame.size() - tcp, 2);
    put_wide(frame, ip + 6, 6U << 8 | what.hops, 2);
    for (size_t i = 0; i < 32; ++i) frame[ip + 8 + i] = static_cast<uint8_t>(0x20 + i);
  } else {
    put_wide(frame, ip, 0x45000000 | (frame.size() - ip), 4);
    put_wide(frame, ip + 4, uint64_t{what.number} << 16 | 0x4000, 4);
    put_wide(frame, ip + 8, uint64_t{what.hops} << 24 | 6U << 16, 4);
    put_wide(frame, ip + 12, 0x0a0002020a00020f, 8);
    put_wide(frame, ip + 10, ~plain_sum(std::span(frame).subspan(ip, 20)) & 0xffff, 2);
  }
  put_wide(frame, tcp, 0x00500400, 4);
  put_wide(frame, tcp + 4, what.sequence, 4);
  put_wide(frame, tcp + 8, what.acknowledged, 4);
  frame[tcp + 12] = static_cast<uint8_t>((20 + what.options.size()) / 4 << 4);
  frame[tcp + 13] = what.flags;
  put_wide(frame, tcp + 14, what.window, 2);
  for (size_t i = 0; i < what.options.size(); ++i) frame[tcp + 20 + i] = what.options[i];
  for (size_t i = 0; i < what.payload; ++i) {
    frame[header_bytes(what) + i] = static_cast<uint8_t>(what.first + i);
  }
  const uint32_t sum =
      plain_sum(std::span(frame).subspan(tcp)) + pseudo_sum_of(frame, what.is_ipv6, tcp);
  put_wide(frame, tcp + 16, ~plain_sum({}, sum) & 0xffff, 2);
  return frame;
}

}  // namespace ringshift

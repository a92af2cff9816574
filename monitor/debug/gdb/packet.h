// Packet: the framing of the remote serial protocol: bytes into packets, packets into bytes. Owns:
// one packet under construction, bounded. Does not know the meaning of packets. The bytes are
// hostile input: every byte gives one of the events below, and memory stays within kMostPayload.
// See docs/debugging.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringshift::debug {

// The longest packet contents, as told to the debugger.
inline constexpr size_t kMostPayload = 16384;

enum class PacketEvent : uint8_t {
  Packet,        // payload() is one
  BadPacket,     // the checksum is another, or is none
  TooLong,       // it had more than kMostPayload bytes
  Acknowledged,  // +
  Repeat,        // -
  Interrupt,     // the byte 3, outside packets
};

class PacketReader {
 public:
  // Bytes that mean nothing between packets are skipped, as the protocol has it.
  [[nodiscard]] std::optional<PacketEvent> take(uint8_t byte);
  [[nodiscard]] const std::string& payload() const { return payload_; }

 private:
  enum class At : uint8_t { Outside, Inside, Escaped, FirstDigit, SecondDigit };
  void begin();
  void add(char character);
  [[nodiscard]] PacketEvent finish(int low_digit);

  At at_ = At::Outside;
  std::string payload_;
  uint8_t sum_ = 0;
  int high_digit_ = 0;
  bool too_long_ = false;
};

// $payload#checksum, with the characters escaped that must be.
[[nodiscard]] std::string framed(std::string_view payload);

}  // namespace ringshift::debug

#include "monitor/debug/gdb/packet.h"

#include "monitor/debug/gdb/hex.h"

namespace ringshift::debug {
namespace {

constexpr uint8_t kInterruptByte = 3;
constexpr char kEscape = '}';
constexpr char kEscapeBit = 0x20;

}  // namespace

void PacketReader::begin() {
  at_ = At::Inside;
  payload_.clear();
  sum_ = 0;
  too_long_ = false;
}

void PacketReader::add(char character) {
  if (payload_.size() < kMostPayload) {
    payload_.push_back(character);
  } else {
    too_long_ = true;
  }
}

PacketEvent PacketReader::finish(int low_digit) {
  at_ = At::Outside;
  if (too_long_) return PacketEvent::TooLong;
  if (high_digit_ < 0 || low_digit < 0) return PacketEvent::BadPacket;
  return high_digit_ * 16 + low_digit == sum_ ? PacketEvent::Packet : PacketEvent::BadPacket;
}

std::optional<PacketEvent> PacketReader::take(uint8_t byte) {
  const char character = static_cast<char>(byte);
  switch (at_) {
    case At::Outside:
      if (character == '$') begin();
      if (character == '+') return PacketEvent::Acknowledged;
      if (character == '-') return PacketEvent::Repeat;
      if (byte == kInterruptByte) return PacketEvent::Interrupt;
      return std::nullopt;
    case At::Inside:
    case At::Escaped:
      if (character == '#' && at_ == At::Inside) {
        at_ = At::FirstDigit;
        return std::nullopt;
      }
      // The other side has begun again: its earlier bytes are lost.
      if (character == '$') {
        begin();
        return std::nullopt;
      }
      sum_ = static_cast<uint8_t>(sum_ + byte);
      if (at_ == At::Inside && character == kEscape) {
        at_ = At::Escaped;
        return std::nullopt;
      }
      add(at_ == At::Escaped ? static_cast<char>(character ^ kEscapeBit) : character);
      at_ = At::Inside;
      return std::nullopt;
    case At::FirstDigit:
      high_digit_ = hex_digit(character);
      at_ = At::SecondDigit;
      return std::nullopt;
    case At::SecondDigit:
      return finish(hex_digit(character));
  }
  return std::nullopt;
}

std::string framed(std::string_view payload) {
  std::string packet = "$";
  uint8_t sum = 0;
  const auto add = [&](char character) {
    packet.push_back(character);
    sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(character));
  };
  for (const char character : payload) {
    const bool is_special =
        character == '$' || character == '#' || character == kEscape || character == '*';
    if (is_special) add(kEscape);
    add(is_special ? static_cast<char>(character ^ kEscapeBit) : character);
  }
  packet.push_back('#');
  return packet + to_hex(std::span(&sum, 1));
}

}  // namespace ringshift::debug

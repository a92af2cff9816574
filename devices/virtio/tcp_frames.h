// TcpFrames: Ethernet frames that carry TCP: their sums, a large one cut into those of a wire, and
// those of a wire joined to a large one, as a card with offloads does it. A guest or a peer chose
// every byte: a frame that makes no sense counts as no TCP. See docs/networking.md; RFC 1071, 791,
// 8200, 9293.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ringshift {

// The longest packet that an IP header can describe, behind two addresses, a type and a tag.
inline constexpr size_t kLongestLargeFrame = 65535 + 18;
// Segments are no smaller than this: so much of a frame is in them, and not all in their headers.
inline constexpr size_t kLeastSegment = 64;

// The offsets of a frame's parts.
struct TcpPlaces {
  size_t ip = 0, tcp = 0, payload = 0;
  size_t end = 0;  // of the payload: padding of a short frame follows
  bool is_ipv4 = false;
};

// The source of the packet's length: a large packet's headers need not say it.
enum class LengthFrom : uint8_t { Header, Frame };
// Nothing: it is no TCP, or a fragment, or not whole, or has headers that are for others to read.
[[nodiscard]] std::optional<TcpPlaces> find_tcp(std::span<const uint8_t> frame, LengthFrom from);

// Are all its sums right? Pre: places of this frame.
[[nodiscard]] bool has_good_sums(std::span<const uint8_t> frame, const TcpPlaces& places);

// Puts the sum over [start, end of frame) at `at`; the bytes there already are part of it, as a
// driver leaves them that asks for this. False: there is no such place in the frame.
[[nodiscard]] bool complete_sum(std::span<uint8_t> frame, size_t start, size_t at);

// Lengths and sums of a packet that is sent as it is, however long. Pre: LengthFrom::Frame found
// its places, and it is no longer than kLongestLargeFrame.
void complete_packet(std::span<uint8_t> frame, const TcpPlaces& places);

// A large packet, cut. Pre of all: as for complete_packet; kLeastSegment <= segment_bytes.
class TcpCutter {
 public:
  TcpCutter(std::span<const uint8_t> packet, const TcpPlaces& places, size_t segment_bytes)
      : packet_(packet), places_(places), segment_bytes_(segment_bytes) {}
  [[nodiscard]] bool has_more() const { return done_ < packet_.size() - places_.payload; }
  // The next frame, until this is called again. Pre: has_more().
  [[nodiscard]] std::span<const uint8_t> next();

 private:
  std::span<const uint8_t> packet_;
  TcpPlaces places_;
  size_t segment_bytes_;
  size_t done_ = 0;  // bytes of payload
  std::vector<uint8_t> frame_;
};

// Frames of one connection that follow each other, joined (Linux calls this GRO).
class TcpTrain {
 public:
  // A first frame. Whether others can follow it (can_grow()), and whether its sums are right
  // (is_valid()), is looked at.
  void begin(std::span<const uint8_t> frame);
  [[nodiscard]] bool can_grow() const { return can_grow_; }
  [[nodiscard]] bool is_valid() const { return is_valid_; }
  // False: the frame does not follow, or there would be more than `most` bytes; nothing is changed.
  [[nodiscard]] bool add(std::span<const uint8_t> frame, size_t most);
  // Once all have been added: of several, lengths are right and the sum of TCP is that of its
  // pseudo header alone, for the receiver to complete.
  void finish();
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }
  [[nodiscard]] bool is_several() const { return frames_ > 1; }
  // If there are several segments: the places, and the payload bytes of the first one.
  [[nodiscard]] const TcpPlaces& places() const { return places_; }
  [[nodiscard]] size_t segment_bytes() const { return segment_bytes_; }

 private:
  [[nodiscard]] bool follows(std::span<const uint8_t> frame, const TcpPlaces& places) const;

  std::vector<uint8_t> bytes_;
  TcpPlaces places_;
  size_t segment_bytes_ = 0;
  unsigned frames_ = 0;
  bool is_valid_ = false;
  bool can_grow_ = false;
};

}  // namespace ringshift

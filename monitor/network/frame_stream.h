// FrameStream: Ethernet frames on a stream of bytes: a length of four bytes, the highest first,
// then the frame. The framing of QEMU's stream and socket networks and of passt. Owns: the bytes of
// a frame that has not come in full. The sender may be hostile. See docs/networking.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringshift {

// A frame as a network card moves it: two addresses, a type, a tag and 1,500 bytes.
inline constexpr size_t kLeastFrame = 14, kMostFrame = 1518;
// A packet of TCP that nobody has cut yet, on its way to address translation.
inline constexpr size_t kMostLargeFrame = 65535 + 18;
// The longest that others send: beyond it the stream is none.
inline constexpr size_t kMostStreamFrame = 4096 + 65536;
inline constexpr size_t kFramePrefix = 4;

inline void append_frame(std::span<const uint8_t> frame, std::vector<uint8_t>* to) {
  const auto bytes = static_cast<uint32_t>(frame.size());
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    to->push_back(static_cast<uint8_t>(bytes >> shift));
  }
  to->insert(to->end(), frame.begin(), frame.end());
}

// Pre: kFramePrefix bytes.
[[nodiscard]] inline size_t frame_length(std::span<const uint8_t> at) {
  return size_t{at[0]} << 24 | size_t{at[1]} << 16 | size_t{at[2]} << 8 | at[3];
}

class FrameReader {
 public:
  // Calls take(frame) for each frame that is whole now. False: the bytes are no such stream, and no
  // later ones make sense.
  template <typename Take>
  [[nodiscard]] bool add(std::span<const uint8_t> bytes, Take&& take) {
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    std::span<const uint8_t> left = waiting_;
    while (left.size() >= kFramePrefix) {
      const size_t length = frame_length(left);
      if (length > kMostStreamFrame) return false;
      if (left.size() - kFramePrefix < length) break;
      take(left.subspan(kFramePrefix, length));
      left = left.subspan(kFramePrefix + length);
    }
    waiting_.erase(waiting_.begin(), waiting_.end() - static_cast<std::ptrdiff_t>(left.size()));
    return true;
  }
  void clear() { waiting_.clear(); }

 private:
  std::vector<uint8_t> waiting_;
};

}  // namespace ringshift

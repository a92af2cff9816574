// RfbPixels: the pixel format that an RFB client has chosen, and the picture that its pixels come
// from. See docs/screen.md; RFC 6143, sections 7.4 and 7.7.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ringshift::rfb {

// A picture as the server has it.
struct Picture {
  uint16_t width = 0;
  uint16_t height = 0;
  std::vector<uint32_t> pixels;  // 0x00RRGGBB, lines from the top
};

struct Rectangle {
  uint32_t x = 0, y = 0, width = 0, height = 0;
};

// RFC 6143, section 7.4: the sixteen bytes of PIXEL_FORMAT.
struct PixelFormat {
  uint8_t bits = 32;
  uint8_t depth = 24;
  bool big_endian = false;
  bool true_color = true;
  std::array<uint16_t, 3> most{255, 255, 255};  // red, green, blue
  std::array<uint8_t, 3> shift{16, 8, 0};
};
inline constexpr size_t kPixelFormatBytes = 16;
[[nodiscard]] PixelFormat parse_pixel_format(std::span<const uint8_t, kPixelFormatBytes> bytes);
void append_pixel_format(const PixelFormat& format, std::vector<uint8_t>* out);

class PixelConverter {
 public:
  PixelConverter() { (void)set(PixelFormat{}); }
  // False: no client may ask for that. A format of 8 bits without true colour is that of a colour
  // map: three bits of red, three of green, two of blue.
  [[nodiscard]] bool set(const PixelFormat& format);
  [[nodiscard]] unsigned bytes() const { return format_.bits / 8U; }
  // A pixel in the client's format.
  [[nodiscard]] uint32_t value(uint32_t color) const {
    return table_[0][color >> 16 & 0xff] | table_[1][color >> 8 & 0xff] | table_[2][color & 0xff];
  }
  void append(uint32_t color, std::vector<uint8_t>* out) const;
  // Tight's TPIXEL: three bytes where the format has eight bits a component in 32.
  [[nodiscard]] unsigned tight_bytes() const { return is_tight_ ? 3 : bytes(); }
  void append_tight(uint32_t color, std::vector<uint8_t>* out) const;

 private:
  PixelFormat format_;
  bool is_tight_ = false;
  std::array<std::array<uint32_t, 256>, 3> table_{};
};

}  // namespace ringshift::rfb

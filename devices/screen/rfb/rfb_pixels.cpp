#include "devices/screen/rfb/rfb_pixels.h"

namespace ringshift::rfb {

PixelFormat parse_pixel_format(std::span<const uint8_t, kPixelFormatBytes> bytes) {
  PixelFormat format;
  format.bits = bytes[0];
  format.depth = bytes[1];
  format.big_endian = bytes[2] != 0;
  format.true_color = bytes[3] != 0;
  for (size_t i = 0; i < 3; ++i) {
    format.most[i] = static_cast<uint16_t>(bytes[4 + 2 * i] << 8 | bytes[5 + 2 * i]);
    format.shift[i] = bytes[10 + i];
  }
  return format;
}

void append_pixel_format(const PixelFormat& format, std::vector<uint8_t>* out) {
  out->push_back(format.bits);
  out->push_back(format.depth);
  out->push_back(format.big_endian ? 1 : 0);
  out->push_back(format.true_color ? 1 : 0);
  for (const uint16_t most : format.most) {
    out->push_back(static_cast<uint8_t>(most >> 8));
    out->push_back(static_cast<uint8_t>(most));
  }
  out->insert(out->end(), format.shift.begin(), format.shift.end());
  out->insert(out->end(), 3, 0);
}

bool PixelConverter::set(const PixelFormat& format) {
  if (format.bits != 8 && format.bits != 16 && format.bits != 32) return false;
  if (!format.true_color && format.bits != 8) return false;
  format_ = format;
  if (!format.true_color) {
    format_.most = {7, 7, 3};
    format_.shift = {5, 2, 0};
  }
  for (size_t i = 0; i < 3; ++i) {
    if (format_.shift[i] >= format_.bits) return false;
    for (uint32_t component = 0; component < 256; ++component) {
      table_[i][component] = (component * format_.most[i] + 127) / 255 << format_.shift[i];
    }
  }
  constexpr std::array<uint16_t, 3> kBytes{255, 255, 255};
  is_tight_ = format_.bits == 32 && format_.depth == 24 && format_.most == kBytes;
  return true;
}

void PixelConverter::append(uint32_t color, std::vector<uint8_t>* out) const {
  const uint32_t number = value(color);
  const unsigned count = bytes();
  for (unsigned i = 0; i < count; ++i) {
    const unsigned byte = format_.big_endian ? count - 1 - i : i;
    out->push_back(static_cast<uint8_t>(number >> (8 * byte)));
  }
}

void PixelConverter::append_tight(uint32_t color, std::vector<uint8_t>* out) const {
  if (!is_tight_) return append(color, out);
  out->push_back(static_cast<uint8_t>(color >> 16));
  out->push_back(static_cast<uint8_t>(color >> 8));
  out->push_back(static_cast<uint8_t>(color));
}

}  // namespace ringshift::rfb

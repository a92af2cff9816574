// RfbDecoder: the client's side of screen updates, for tests: rectangles of bytes back into a
// picture, in the pixel format a server begins with. Owns: the picture, decompression streams. Any
// byte out of place is a failure. See RFC 6143, section 7.7.
#pragma once

#include <zlib.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

#include "devices/screen/rfb/rfb_encoder.h"
#include "devices/screen/rfb/rfb_session.h"

namespace ringshift::rfb {

class Decoder {
 public:
  Decoder(uint16_t width, uint16_t height) { resize(width, height); }
  ~Decoder() {
    for (auto& stream : streams_) {
      if (stream != nullptr) inflateEnd(stream.get());
    }
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // One whole FramebufferUpdate, and nothing behind it.
  void update(std::span<const uint8_t> bytes) {
    left_ = bytes;
    if (u8() != 0) throw std::runtime_error("no update");
    (void)u8();
    const unsigned count = u16();
    for (unsigned i = 0; i < count; ++i) rectangle();
    if (!left_.empty()) throw std::runtime_error("bytes behind the update");
  }
  [[nodiscard]] const Picture& picture() const { return picture_; }
  [[nodiscard]] const std::vector<int32_t>& encodings() const { return encodings_; }

 private:
  uint8_t u8() { return take(1)[0]; }
  unsigned u16() {
    const auto bytes = take(2);
    return static_cast<unsigned>(bytes[0] << 8 | bytes[1]);
  }
  uint32_t u32() {
    const uint32_t high = u16();
    return high << 16 | u16();
  }
  std::span<const uint8_t> take(size_t count) {
    if (left_.size() < count) throw std::runtime_error("the update is cut short");
    const auto bytes = left_.first(count);
    left_ = left_.subspan(count);
    return bytes;
  }
  uint32_t pixel() {
    const auto b = take(4);
    return static_cast<uint32_t>(b[0] | b[1] << 8 | b[2] << 16);
  }
  uint32_t tight_pixel() {
    const auto b = take(3);
    return static_cast<uint32_t>(b[0] << 16 | b[1] << 8 | b[2]);
  }
  void resize(uint32_t width, uint32_t height) {
    picture_.width = static_cast<uint16_t>(width);
    picture_.height = static_cast<uint16_t>(height);
    picture_.pixels.assign(size_t{width} * height, 0x123456);
  }
  void set(uint32_t x, uint32_t y, uint32_t color) {
    if (x >= picture_.width || y >= picture_.height) throw std::runtime_error("outside");
    picture_.pixels[size_t{y} * picture_.width + x] = color;
  }
  std::vector<uint8_t> inflated(unsigned number, std::span<const uint8_t> packed, size_t size) {
    auto& stream = streams_[number];
    if (stream == nullptr) {
      stream = std::make_unique<z_stream>();
      if (inflateInit(stream.get()) != Z_OK) throw std::runtime_error("inflateInit");
    }
    std::vector<uint8_t> plain(size + 1);
    stream->next_in = const_cast<Bytef*>(packed.data());
    stream->avail_in = static_cast<uInt>(packed.size());
    stream->next_out = plain.data();
    stream->avail_out = static_cast<uInt>(plain.size());
    const int result = inflate(stream.get(), Z_SYNC_FLUSH);
    if (result != Z_OK || stream->avail_in != 0 || stream->avail_out != 1) {
      throw std::runtime_error("a bad stream");
    }
    plain.resize(size);
    return plain;
  }

  void rectangle() {
    Rectangle area;
    area.x = u16();
    area.y = u16();
    area.width = u16();
    area.height = u16();
    const auto encoding = static_cast<int32_t>(u32());
    encodings_.push_back(encoding);
    switch (encoding) {
      case 0:
        return raw(area);
      case 5:
        return hextile(area);
      case 6: {
        const auto packed = take(u32());
        const auto plain = inflated(3, packed, size_t{area.width} * area.height * 4);
        const auto rest = std::exchange(left_, std::span<const uint8_t>(plain));
        raw(area);
        left_ = rest;
        return;
      }
      case 7:
        return tight(area);
      case kDesktopSize:
        return resize(area.width, area.height);
      case kCursor:
        (void)take(size_t{area.width} * area.height * 4 + (area.width + 7) / 8 * area.height);
        return;
      case kRelativePointer:
      case kScanCodes:
        return;
      default:
        throw std::runtime_error("an unknown encoding");
    }
  }
  void raw(const Rectangle& area) {
    for (uint32_t y = 0; y < area.height; ++y) {
      for (uint32_t x = 0; x < area.width; ++x) set(area.x + x, area.y + y, pixel());
    }
  }
  void fill(const Rectangle& area, uint32_t color) {
    for (uint32_t y = 0; y < area.height; ++y) {
      for (uint32_t x = 0; x < area.width; ++x) set(area.x + x, area.y + y, color);
    }
  }
  void hextile(const Rectangle& area) {
    uint32_t background = 0, foreground = 0;
    for (uint32_t y = 0; y < area.height; y += 16) {
      for (uint32_t x = 0; x < area.width; x += 16) {
        const Rectangle tile{area.x + x, area.y + y, std::min(16U, area.width - x),
                             std::min(16U, area.height - y)};
        const uint8_t kind = u8();
        if ((kind & 1) != 0) {
          raw(tile);
          continue;
        }
        if ((kind & 2) != 0) background = pixel();
        if ((kind & 4) != 0) foreground = pixel();
        fill(tile, background);
        const unsigned count = (kind & 8) != 0 ? u8() : 0;
        for (unsigned i = 0; i < count; ++i) {
          const uint32_t color = (kind & 16) != 0 ? pixel() : foreground;
          const uint32_t place = u8(), size = u8();
          fill({tile.x + (place >> 4), tile.y + (place & 15), (size >> 4) + 1, (size & 15) + 1},
               color);
        }
      }
    }
  }
  std::vector<uint8_t> tight_bytes(unsigned number, size_t size) {
    if (size < 12) {
      const auto bytes = take(size);
      return {bytes.begin(), bytes.end()};
    }
    size_t length = 0;
    for (unsigned shift = 0; shift <= 14; shift += 7) {
      const uint8_t byte = u8();
      length |= size_t{shift == 14 ? byte : byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) break;
    }
    return inflated(number, take(length), size);
  }
  void tight(const Rectangle& area) {
    if (area.width > 2048) throw std::runtime_error("too wide for Tight");
    const uint8_t control = u8();
    if (control == 0x80) return fill(area, tight_pixel());
    if (control >= 0x80 || (control & 0x0f) != 0) throw std::runtime_error("bad control");
    const unsigned number = control >> 4 & 3;
    if ((control & 0x40) == 0) {
      const auto plain = tight_bytes(number, size_t{area.width} * area.height * 3);
      const auto rest = std::exchange(left_, std::span<const uint8_t>(plain));
      for (uint32_t y = 0; y < area.height; ++y) {
        for (uint32_t x = 0; x < area.width; ++x) set(area.x + x, area.y + y, tight_pixel());
      }
      left_ = rest;
      return;
    }
    if (u8() != 1) throw std::runtime_error("no palette");
    std::vector<uint32_t> colors(u8() + size_t{1});
    for (uint32_t& color : colors) color = tight_pixel();
    const bool is_mono = colors.size() == 2;
    const size_t line = is_mono ? (area.width + 7) / 8 : area.width;
    const auto plain = tight_bytes(number, line * area.height);
    for (uint32_t y = 0; y < area.height; ++y) {
      for (uint32_t x = 0; x < area.width; ++x) {
        const uint8_t byte = plain[y * line + (is_mono ? x / 8 : x)];
        set(area.x + x, area.y + y, colors.at(is_mono ? byte >> (7 - x % 8) & 1 : byte));
      }
    }
  }

  Picture picture_;
  std::vector<int32_t> encodings_;
  std::span<const uint8_t> left_;
  std::array<std::unique_ptr<z_stream>, 4> streams_;
};

}  // namespace ringshift::rfb

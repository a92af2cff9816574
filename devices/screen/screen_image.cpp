#include "devices/screen/screen_image.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr uint32_t kMostWidth = 2048, kMostHeight = 2048;
// CRT controller registers.
constexpr unsigned kHorizontalEnd = 0x01, kOverflow = 0x07, kMaximumScanLine = 0x09;
constexpr unsigned kCursorStart = 0x0a, kCursorEnd = 0x0b, kStartHigh = 0x0c, kStartLow = 0x0d;
constexpr unsigned kCursorHigh = 0x0e, kCursorLow = 0x0f, kVerticalEnd = 0x12, kRowOffset = 0x13;

ScreenImage blank(uint32_t width, uint32_t height) {
  ScreenImage image;
  image.width = std::clamp(width, 1U, kMostWidth);
  image.height = std::clamp(height, 1U, kMostHeight);
  image.rgb.resize(size_t{image.width} * image.height * 3);
  return image;
}

uint32_t palette_color(const ScreenContent& vga, unsigned index) {
  uint32_t color = 0;
  for (unsigned i = 0; i < 3; ++i) {
    const uint32_t component = vga.palette(index, i);
    color = color << 8 | component << 2 | component >> 4;
  }
  return color;
}

// One of the sixteen colours of text and of the planes, by way of the attribute controller.
uint32_t attribute_color(const ScreenContent& vga, unsigned index) {
  unsigned color = vga.attribute(index & 0x0f) & 0x3f;
  const uint8_t select = vga.attribute(0x14);
  if ((vga.attribute(0x10) & 0x80) != 0) color = (color & 0x0f) | (select & 0x03U) << 4;
  return palette_color(vga, color | (select & 0x0cU) << 4);
}

uint32_t visible_lines(const ScreenContent& vga) {
  const uint8_t overflow = vga.crtc(kOverflow);
  return 1U + vga.crtc(kVerticalEnd) + ((overflow & 0x02U) << 7) + ((overflow & 0x40U) << 3);
}

uint32_t start_address(const ScreenContent& vga) {
  return uint32_t{vga.crtc(kStartHigh)} << 8 | vga.crtc(kStartLow);
}

// The sixteen colours of text, as bytes of a picture.
std::array<uint32_t, 16> text_colors(const ScreenContent& vga) {
  std::array<uint32_t, 16> colors{};
  for (unsigned i = 0; i < colors.size(); ++i) colors[i] = attribute_color(vga, i);
  return colors;
}

ScreenImage draw_text(const ScreenContent& vga) {
  constexpr uint32_t kCellWidth = 8, kGlyphBytes = 32;
  const uint32_t cell_height = (vga.crtc(kMaximumScanLine) & 0x1fU) + 1;
  const uint32_t columns = vga.crtc(kHorizontalEnd) + 1U;
  const uint32_t rows = std::max(visible_lines(vga) / cell_height, 1U);
  ScreenImage image = blank(columns * kCellWidth, rows * cell_height);
  const uint32_t pitch = vga.crtc(kRowOffset) * 2U;
  const uint32_t cursor = uint32_t{vga.crtc(kCursorHigh)} << 8 | vga.crtc(kCursorLow);
  const bool cursor_on = (vga.crtc(kCursorStart) & 0x20) == 0;
  const uint32_t cursor_top = vga.crtc(kCursorStart) & 0x1fU;
  const uint32_t cursor_bottom = vga.crtc(kCursorEnd) & 0x1fU;
  const std::array<uint32_t, 16> colors = text_colors(vga);
  for (uint32_t y = 0; y < image.height; ++y) {
    const uint32_t line = y % cell_height;
    const bool in_cursor = cursor_on && line >= cursor_top && line <= cursor_bottom;
    for (uint32_t column = 0; column < image.width / kCellWidth; ++column) {
      const uint32_t cell = start_address(vga) + y / cell_height * pitch + column;
      const uint8_t attribute = vga.plane(1, cell * 2);
      uint8_t glyph = vga.plane(2, vga.plane(0, cell * 2) * kGlyphBytes + line);
      if (in_cursor && cell == cursor) glyph = 0xff;
      for (uint32_t x = 0; x < kCellWidth; ++x) {
        const bool ink = (glyph >> (7 - x) & 1) != 0;
        image.set(column * kCellWidth + x, y, colors[ink ? attribute & 0x0f : attribute >> 4 & 7]);
      }
    }
  }
  return image;
}

// 256 colours of a byte each, or sixteen of a bit in each plane.
ScreenImage draw_graphics(const ScreenContent& vga) {
  const bool bytes = (vga.graphics(5) & 0x40) != 0;
  const uint8_t scan = vga.crtc(kMaximumScanLine);
  const uint32_t repeat = ((scan & 0x1fU) + 1) * ((scan & 0x80) != 0 ? 2 : 1);
  const uint32_t width = (vga.crtc(kHorizontalEnd) + 1U) * (bytes ? 4 : 8);
  ScreenImage image = blank(width, visible_lines(vga) / repeat);
  const uint32_t pitch = vga.crtc(kRowOffset) * 2U;
  for (uint32_t y = 0; y < image.height; ++y) {
    for (uint32_t x = 0; x < image.width; ++x) {
      if (bytes) {
        // Chained: byte x of a line is in plane x mod 4. Four pixels an address, or one in four.
        const bool chained = (vga.sequencer(4) & 0x08) != 0;
        const uint32_t address = chained ? (start_address(vga) + y * pitch) * 4 + (x & ~3U)
                                         : start_address(vga) + y * pitch + x / 4;
        image.set(x, y, palette_color(vga, vga.plane(x & 3, address)));
        continue;
      }
      const uint32_t address = start_address(vga) + y * pitch + x / 8;
      unsigned color = 0;
      for (unsigned plane = 0; plane < 4; ++plane) {
        color |= (vga.plane(plane, address) >> (7 - x % 8) & 1U) << plane;
      }
      image.set(x, y, attribute_color(vga, color & vga.attribute(0x12)));
    }
  }
  return image;
}

// A component of `bits` bits as eight.
uint32_t widen(uint32_t value, unsigned bits) {
  return value << (8 - bits) | value >> (2 * bits - 8);
}

uint32_t frame_color(const ScreenContent& vga, const uint8_t* pixel, uint32_t bits) {
  uint32_t value = 0;
  std::memcpy(&value, pixel, (bits + 7) / 8);
  switch (bits) {
    case 8:
      return palette_color(vga, value);
    case 15:
      return widen(value >> 10 & 31, 5) << 16 | widen(value >> 5 & 31, 5) << 8 |
             widen(value & 31, 5);
    case 16:
      return widen(value >> 11 & 31, 5) << 16 | widen(value >> 5 & 63, 6) << 8 |
             widen(value & 31, 5);
    default:
      return value & 0xffffff;
  }
}

ScreenImage draw_lines(const ScreenContent& content) {
  const BochsDisplay::Mode& mode = content.mode;
  ScreenImage image;
  image.width = mode.width;
  image.height = mode.height;
  image.rgb.resize(size_t{mode.width} * mode.height * 3);
  for (uint32_t y = 0; y < mode.height; ++y) {
    const uint8_t* line = content.lines.data() + size_t{y} * mode.bytes_per_line;
    for (uint32_t x = 0; x < mode.width; ++x) {
      const uint8_t* pixel = line + size_t{x} * ((mode.bits_per_pixel + 7) / 8);
      image.set(x, y, frame_color(content, pixel, mode.bits_per_pixel));
    }
  }
  return image;
}

}  // namespace

ScreenImage draw_screen(const ScreenContent& content) {
  if (content.is_linear) return draw_lines(content);
  return (content.graphics(6) & 1) != 0 ? draw_graphics(content) : draw_text(content);
}

ScreenImage draw_screen(const VgaText& vga, const BochsDisplay* display) {
  ScreenContent content;
  capture_screen(vga, display, &content);
  return draw_screen(content);
}

bool write_png(const ScreenImage& image, const std::string& path, std::string* error) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = image.width;
  png.height = image.height;
  png.format = PNG_FORMAT_RGB;
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  if (file == nullptr) {
    *error = "cannot write " + path + ": " + std::strerror(errno);
    return false;
  }
  const bool drawn = png_image_write_to_stdio(&png, file, 0, image.rgb.data(), 0, nullptr) != 0;
  const bool written = std::fclose(file) == 0;
  if (drawn && written) return true;
  *error = "cannot write " + path + ": " + (drawn ? std::strerror(errno) : png.message);
  return false;
}

bool write_ppm(const ScreenImage& image, const std::string& path, std::string* error) {
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  bool written = file != nullptr &&
                 std::fprintf(file, "P6\n%u %u\n255\n", image.width, image.height) > 0 &&
                 std::fwrite(image.rgb.data(), 1, image.rgb.size(), file) == image.rgb.size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written) *error = "cannot write " + path + ": " + std::strerror(errno);
  return written;
}

}  // namespace ringshift

// ScreenImage: the screen as pixels: VGA text and graphics, or a linear frame buffer. Owns: the
// pixels. Nothing is drawn until it is asked for. See docs/devices.md; IBM VGA technical reference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "devices/screen/screen_content.h"

namespace ringshift {

struct ScreenImage {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> rgb;  // three bytes a pixel, lines from the top

  void set(uint32_t x, uint32_t y, uint32_t color) {
    uint8_t* pixel = rgb.data() + (size_t{y} * width + x) * 3;
    pixel[0] = static_cast<uint8_t>(color >> 16);
    pixel[1] = static_cast<uint8_t>(color >> 8);
    pixel[2] = static_cast<uint8_t>(color);
  }
};

[[nodiscard]] ScreenImage draw_screen(const ScreenContent& content);
// As it is now. display may be null: there is only the VGA.
[[nodiscard]] ScreenImage draw_screen(const VgaText& vga, const BochsDisplay* display);
// As a PNG file, or a PPM (netpbm's P6); false with one line in *error.
[[nodiscard]] bool write_png(const ScreenImage& image, const std::string& path, std::string* error);
[[nodiscard]] bool write_ppm(const ScreenImage& image, const std::string& path, std::string* error);

}  // namespace ringshift

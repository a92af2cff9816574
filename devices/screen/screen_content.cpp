#include "devices/screen/screen_content.h"

#include <cstring>

namespace ringshift {
namespace {

void copy_registers(const VgaText& vga, ScreenContent* content) {
  for (unsigned i = 0; i < content->crtc_registers.size(); ++i) {
    content->crtc_registers[i] = vga.crtc(i);
    content->attribute_registers[i] = vga.attribute(i);
  }
  for (unsigned i = 0; i < content->graphics_registers.size(); ++i) {
    content->graphics_registers[i] = vga.graphics(i);
  }
  for (unsigned i = 0; i < content->sequencer_registers.size(); ++i) {
    content->sequencer_registers[i] = vga.sequencer(i);
  }
  for (unsigned i = 0; i < content->colors.size(); ++i) {
    content->colors[i] = vga.palette(i / 3, i % 3);
  }
}

void copy_lines(const BochsDisplay& display, ScreenContent* content) {
  content->mode = display.mode();
  BochsDisplay::Mode& mode = content->mode;
  const uint32_t line_bytes = mode.width * ((mode.bits_per_pixel + 7) / 8);
  content->lines.resize(size_t{line_bytes} * mode.height);
  for (uint32_t y = 0; y < mode.height; ++y) {
    std::memcpy(content->lines.data() + size_t{y} * line_bytes,
                display.memory().data() + mode.first_byte + size_t{y} * mode.bytes_per_line,
                line_bytes);
  }
  mode.first_byte = 0;
  mode.bytes_per_line = line_bytes;
}

}  // namespace

void capture_screen(const VgaText& vga, const BochsDisplay* display, ScreenContent* content) {
  copy_registers(vga, content);
  content->is_linear = display != nullptr && display->enabled();
  if (content->is_linear) {
    copy_lines(*display, content);
    content->planes.clear();
  } else {
    content->mode = {};
    content->lines.clear();
    const std::vector<uint8_t>& bytes = vga.display_memory().bytes();
    content->planes.assign(bytes.begin(), bytes.end());
  }
}

}  // namespace ringshift

// ScreenContent: the source of a drawn screen, copied out of the display: registers, and the memory
// that shows. Owns: the copy, so that another thread may draw it. See docs/screen.md; IBM VGA
// technical reference.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/screen/bochs_display.h"
#include "devices/screen/vga_text.h"

namespace ringshift {

struct ScreenContent {
  [[nodiscard]] uint8_t crtc(unsigned index) const { return crtc_registers[index & 0x1f]; }
  [[nodiscard]] uint8_t attribute(unsigned index) const {
    return attribute_registers[index & 0x1f];
  }
  [[nodiscard]] uint8_t graphics(unsigned index) const { return graphics_registers[index & 0x0f]; }
  [[nodiscard]] uint8_t sequencer(unsigned index) const { return sequencer_registers[index & 7]; }
  // One component, 0 to 63, of a colour of the palette.
  [[nodiscard]] uint8_t palette(unsigned color, unsigned component) const {
    return colors[(color & 0xff) * 3 + component % 3];
  }
  // Pre: is_linear is false.
  [[nodiscard]] uint8_t plane(unsigned number, uint32_t address) const {
    return planes[(address % VgaMemory::kPlaneBytes) * 4 + number];
  }
  [[nodiscard]] bool operator==(const ScreenContent&) const = default;

  bool is_linear = false;       // a linear mode, not the VGA's
  BochsDisplay::Mode mode;      // of a linear mode; first_byte 0, lines without gaps
  std::vector<uint8_t> lines;   // its pixels
  std::vector<uint8_t> planes;  // of the VGA otherwise: the four bytes of an address side by side
  std::array<uint8_t, 32> crtc_registers{};
  std::array<uint8_t, 32> attribute_registers{};
  std::array<uint8_t, 16> graphics_registers{};
  std::array<uint8_t, 8> sequencer_registers{};
  std::array<uint8_t, 768> colors{};
};

// Copies what the screen shows now; the memory that *content has is used again. display may be
// null: there is only the VGA.
void capture_screen(const VgaText& vga, const BochsDisplay* display, ScreenContent* content);

}  // namespace ringshift

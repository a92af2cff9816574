// VgaText: a VGA's registers, with its memory behind them, and the text page on the screen. Owns:
// registers, palette, display memory. Does not own: any window; the screen is rendered on request.
// See docs/devices.md; IBM VGA technical reference; code page 437.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "devices/bus/byte_ports.h"
#include "devices/screen/vga_memory.h"

namespace ringshift {

class StateArchive;

inline constexpr uint64_t kVgaMemoryBase = 0xa0000;
inline constexpr uint64_t kVgaMemoryBytes = 0x20000;

class VgaText final : public MemoryDevice {
 public:
  VgaText();

  [[nodiscard]] PortDevice& mono_crtc_ports() { return mono_crtc_ports_; }    // 0x3b4-0x3b5
  [[nodiscard]] PortDevice& mono_status_port() { return mono_status_port_; }  // 0x3ba
  [[nodiscard]] PortDevice& color_ports() { return color_ports_; }            // 0x3c0-0x3cf
  [[nodiscard]] PortDevice& crtc_ports() { return crtc_ports_; }              // 0x3d4-0x3d5
  [[nodiscard]] PortDevice& status_port() { return status_port_; }            // 0x3da

  // Does the work of a video BIOS before a kernel has the machine: sets the sixteen colours of
  // text, and a font of 256 characters of 16 lines (4096 bytes) in plane 2. Empty: no font.
  void set_up_text(std::span<const uint8_t> font);

  // Display memory, from 0xa0000.
  [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
  void write(uint64_t offset, AccessWidth width, uint32_t value) override;

  // The visible page, 25 lines of at most 80 characters in UTF-8, trailing spaces trimmed.
  [[nodiscard]] std::string dump_text() const;

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

  // For drawing.
  [[nodiscard]] const VgaMemory& display_memory() const { return memory_; }
  [[nodiscard]] uint8_t crtc(unsigned index) const { return crtc_[index & 0x1f]; }
  [[nodiscard]] uint8_t attribute(unsigned index) const { return attribute_[index & 0x1f]; }
  [[nodiscard]] uint8_t graphics(unsigned index) const { return registers_.graphics[index & 0x0f]; }
  [[nodiscard]] uint8_t sequencer(unsigned index) const { return registers_.sequencer[index & 7]; }
  // One component, 0 to 63, of a colour of the palette.
  [[nodiscard]] uint8_t palette(unsigned color, unsigned component) const {
    return palette_[(color & 0xff) * 3 + component % 3];
  }

 private:
  [[nodiscard]] uint8_t read_crtc(uint16_t offset) const;
  void write_crtc(uint16_t offset, uint8_t value);
  [[nodiscard]] uint8_t read_color(uint16_t offset);
  void write_color(uint16_t offset, uint8_t value);
  [[nodiscard]] uint8_t read_palette();
  void write_palette(uint8_t value);
  [[nodiscard]] uint8_t read_status();

  VgaRegisterFile registers_;
  VgaMemory memory_{registers_};
  std::array<uint8_t, 32> crtc_{};
  std::array<uint8_t, 32> attribute_{};
  std::array<uint8_t, 768> palette_{};
  uint8_t crtc_index_ = 0;
  uint8_t attribute_index_ = 0;
  uint8_t sequencer_index_ = 0;
  uint8_t graphics_index_ = 0;
  bool attribute_data_next_ = false;
  uint8_t miscellaneous_ = 0x67;  // colour addresses, memory enabled: text mode as a BIOS sets it
  uint8_t feature_ = 0;
  uint8_t palette_mask_ = 0xff;
  unsigned palette_read_at_ = 0;  // byte positions, three to a colour
  unsigned palette_write_at_ = 0;
  bool palette_reading_ = false;
  bool retrace_ = false;
  PortWindow mono_crtc_ports_;
  PortWindow mono_status_port_;
  PortWindow color_ports_;
  PortWindow crtc_ports_;
  PortWindow status_port_;
};

}  // namespace ringshift

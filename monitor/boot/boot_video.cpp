#include "monitor/boot/boot_video.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "monitor/boot/boot_layout.h"

namespace ringshift {
namespace {

constexpr uint32_t kWantsVideo = 1U << 2;  // of the header's flags
constexpr uint64_t kModeType = 32, kWidth = 36, kHeight = 40, kDepth = 44;
constexpr uint32_t kLinearGraphics = 0;
// The video mode for a header that leaves the choice to us.
constexpr VideoMode kUsual{1024, 768, 32};

// Flags of the information structure, and the framebuffer types.
constexpr uint32_t kInfoVbe = 1U << 11, kInfoFramebuffer = 1U << 12;
constexpr uint8_t kIndexed = 0, kDirectColour = 1, kEgaText = 2;

// Any number will do that VESA has given to no other mode; bit 14: the frame buffer is linear.
constexpr uint16_t kModeNumber = 0x01c0, kLinearMode = 0x4000;
constexpr uint16_t kModeAttributes = 0x00fb;  // there, in colour, graphics, no VGA, linear only
constexpr uint8_t kPackedPixels = 4, kDirectColourModel = 6;
constexpr uint64_t kModeBlock = 512, kModeList = kModeBlock + 256, kPalette = kModeList + 16;
constexpr uint32_t kPaletteEntries = 256;

struct ColourField {
  uint8_t position, bits;
};
struct Colours {
  ColourField red, green, blue;
};

Colours colours_of(uint32_t bits) {
  if (bits == 15) return {{10, 5}, {5, 5}, {0, 5}};
  if (bits == 16) return {{11, 5}, {5, 6}, {0, 5}};
  return {{16, 8}, {8, 8}, {0, 8}};
}

void store8(GuestMemory& memory, uint64_t address, uint32_t value) {
  *memory.at(GuestPhysical(address)) = static_cast<uint8_t>(value);
}

// Segment and offset, as the 16-bit callers of VBE have it.
void store_far(GuestMemory& memory, uint64_t address, uint64_t target) {
  store16(memory, address, static_cast<uint16_t>(target & 15));
  store16(memory, address + 2, static_cast<uint16_t>(target >> 4));
}

void store_text(GuestMemory& memory, uint64_t address, std::string_view text) {
  std::copy(text.begin(), text.end(), memory.at(GuestPhysical(address)));
}

void write_vbe_information(GuestMemory& memory, uint64_t at) {
  store_text(memory, at, "VESA");
  store16(memory, at + 4, 0x0300);
  store_far(memory, at + 14, at + kModeList);
  store16(memory, at + 18, BochsDisplay::kMemoryBytes >> 16);
  store16(memory, at + kModeList, kModeNumber);
  store16(memory, at + kModeList + 2, 0xffff);
}

void write_vbe_mode(GuestMemory& memory, uint64_t at, const LinearFrameBuffer& screen) {
  const auto& [width, height, bits] = screen.mode;
  const uint32_t images = BochsDisplay::kMemoryBytes / (screen.bytes_per_line * height);
  store16(memory, at, kModeAttributes);
  store16(memory, at + 16, static_cast<uint16_t>(screen.bytes_per_line));
  store16(memory, at + 18, static_cast<uint16_t>(width));
  store16(memory, at + 20, static_cast<uint16_t>(height));
  store8(memory, at + 22, 8);  // of a character
  store8(memory, at + 23, 16);
  store8(memory, at + 24, 1);  // planes
  store8(memory, at + 25, bits);
  store8(memory, at + 26, 1);  // banks
  store8(memory, at + 27, bits == 8 ? kPackedPixels : kDirectColourModel);
  store8(memory, at + 29, std::min(images - 1, 0xffU));
  store8(memory, at + 30, 1);
  store32(memory, at + 40, screen.address);
  store16(memory, at + 50, static_cast<uint16_t>(screen.bytes_per_line));
  store8(memory, at + 52, std::min(images - 1, 0xffU));
  store8(memory, at + 53, std::min(images - 1, 0xffU));
  if (bits == 8) return;
  const Colours colours = colours_of(bits);
  uint64_t field = 31;
  for (const ColourField& colour : {colours.red, colours.green, colours.blue}) {
    for (const uint64_t place : {field, field + 23}) {  // of the mode, and of it as a linear one
      store8(memory, at + place, colour.bits);
      store8(memory, at + place + 1, colour.position);
    }
    field += 2;
  }
}

void write_framebuffer(GuestMemory& memory, uint64_t info, const LinearFrameBuffer& screen) {
  store64(memory, info + 88, screen.address);
  store32(memory, info + 96, screen.bytes_per_line);
  store32(memory, info + 100, screen.mode.width);
  store32(memory, info + 104, screen.mode.height);
  store8(memory, info + 108, screen.mode.bits);
}

}  // namespace

std::optional<LinearFrameBuffer> show_on(PciBoard& board, const VideoMode& mode) {
  VideoMode all = mode;
  if (all.width == 0 || all.height == 0) {
    all.width = kUsual.width;
    all.height = kUsual.height;
  }
  if (all.bits == 0) all.bits = kUsual.bits;
  if (!board.show_mode(all.width, all.height, all.bits)) return std::nullopt;
  return LinearFrameBuffer{PciBoard::kFrameBuffer, all, board.display().mode().bytes_per_line};
}

std::optional<VideoMode> graphics_wanted(ByteView head, uint64_t at) {
  if ((head.u32(at + 4) & kWantsVideo) == 0 || !head.has(at, kDepth + 4)) return std::nullopt;
  if (head.u32(at + kModeType) != kLinearGraphics) return std::nullopt;
  return VideoMode{head.u32(at + kWidth), head.u32(at + kHeight), head.u32(at + kDepth)};
}

std::string no_such_screen(const VideoMode& mode) {
  return fmt::format(
      "asks for graphics of {} x {} in {} bits, which there are not: the screen is text",
      mode.width, mode.height, mode.bits);
}

// As the VGA adapter is when nobody has set a mode.
uint32_t write_text_screen(GuestMemory& memory, uint64_t info) {
  write_framebuffer(memory, info, {0xb8000, {80, 25, 16}, 160});
  store8(memory, info + 109, kEgaText);
  return kInfoFramebuffer;
}

uint32_t write_linear_screen(GuestMemory& memory, uint64_t info, uint64_t tables,
                             const LinearFrameBuffer& screen) {
  write_vbe_information(memory, tables);
  write_vbe_mode(memory, tables + kModeBlock, screen);
  store32(memory, info + 72, static_cast<uint32_t>(tables));
  store32(memory, info + 76, static_cast<uint32_t>(tables + kModeBlock));
  store16(memory, info + 80, kModeNumber | kLinearMode);
  write_framebuffer(memory, info, screen);
  if (screen.mode.bits == 8) {
    // All black, as the palette is until the kernel writes it.
    store8(memory, info + 109, kIndexed);
    store32(memory, info + 110, static_cast<uint32_t>(tables + kPalette));
    store16(memory, info + 114, kPaletteEntries);
  } else {
    store8(memory, info + 109, kDirectColour);
    const Colours colours = colours_of(screen.mode.bits);
    uint64_t field = info + 110;
    for (const ColourField& colour : {colours.red, colours.green, colours.blue}) {
      store8(memory, field++, colour.position);
      store8(memory, field++, colour.bits);
    }
  }
  return kInfoVbe | kInfoFramebuffer;
}

}  // namespace ringshift

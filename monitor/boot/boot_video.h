// Boot video: the screen that a Multiboot header asks for, and the description of the one that its
// kernel gets. A header is hostile input: a mode that the display has not is answered with the text
// screen and one line. Facts: Multiboot Specification 0.6.96, 3.1.4 and 3.3; VESA BIOS Extension
// 3.0, 4.3 and 4.4.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "devices/board/pci_board.h"
#include "monitor/boot/boot_image.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

// As a header names it; 0: no preference.
struct VideoMode {
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t bits = 0;
};

struct LinearFrameBuffer {
  uint32_t address = 0;
  VideoMode mode;  // no zeros
  uint32_t bytes_per_line = 0;
};

// The display in this mode; nothing: it has no such mode.
[[nodiscard]] std::optional<LinearFrameBuffer> show_on(PciBoard& board, const VideoMode& mode);

// Empty: the header wants no graphics. Pre: a Multiboot header is at `at`.
[[nodiscard]] std::optional<VideoMode> graphics_wanted(ByteView head, uint64_t at);
// The missing thing, as a line to print behind the image's name.
[[nodiscard]] std::string no_such_screen(const VideoMode& mode);

// Room for write_linear_screen, all zeros.
inline constexpr uint64_t kScreenTables = 512 + 256 + 16 + 256 * 3;
// The information structure's fields of the text screen, and those of a linear frame buffer with
// the VBE blocks beside it. Both return the flags that say so.
[[nodiscard]] uint32_t write_text_screen(GuestMemory& memory, uint64_t info);
[[nodiscard]] uint32_t write_linear_screen(GuestMemory& memory, uint64_t info, uint64_t tables,
                                           const LinearFrameBuffer& screen);

}  // namespace ringshift

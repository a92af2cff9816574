#include "devices/screen/text_display.h"

#include <utility>
#include <vector>

#include "devices/input/keyboard_script.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kRefresh = 50'000'000;
constexpr uint32_t kColumns = 80;
constexpr unsigned kCursorStart = 0x0a, kStartHigh = 0x0c, kStartLow = 0x0d;
constexpr unsigned kCursorHigh = 0x0e, kCursorLow = 0x0f;

}  // namespace

TextDisplay::TextDisplay(VirtualClock& clock, const VgaText& vga, I8042& keyboard,
                         TextDisplayConfig config)
    : clock_(clock),
      vga_(vga),
      keyboard_(keyboard),
      config_(std::move(config)),
      timer_(clock, [this](Nanoseconds) { refresh(); }) {
  timer_.arm(clock_.now() + kRefresh);
}

size_t TextDisplay::type(std::span<const uint8_t> bytes) {
  if (bytes.empty() || !keyboard_.keys_taken()) return 0;
  size_t used = 0;
  const std::vector<uint8_t> codes = codes_of_terminal_key(bytes, &used);
  if (!codes.empty()) (void)keyboard_.inject_scancodes(codes);
  return used;
}

std::string TextDisplay::cursor() const {
  const bool hidden = (vga_.crtc(kCursorStart) & 0x20) != 0;
  const uint32_t start = uint32_t{vga_.crtc(kStartHigh)} << 8 | vga_.crtc(kStartLow);
  const uint32_t at = (uint32_t{vga_.crtc(kCursorHigh)} << 8 | vga_.crtc(kCursorLow)) - start;
  if (hidden || at >= kColumns * 60) return "\x1b[?25l";
  return "\x1b[" + std::to_string(at / kColumns + 1) + ";" + std::to_string(at % kColumns + 1) +
         "H\x1b[?25h";
}

void TextDisplay::visit_state(StateArchive& archive) { archive.part("timer", timer_); }

void TextDisplay::refresh() {
  config_.poll_keys();
  show();
  timer_.arm(clock_.now() + kRefresh);
}

// The whole page from the top, each line cleared behind its text.
void TextDisplay::show() {
  std::string text = "\x1b[H";
  for (const char c : config_.page()) {
    if (c == '\n') text += "\x1b[K\r";
    text += c;
  }
  text += "\x1b[J" + cursor();
  if (text != shown_ && config_.print(text)) shown_ = std::move(text);
}

}  // namespace ringshift

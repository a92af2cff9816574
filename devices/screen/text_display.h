// TextDisplay: the text screen live in a terminal, and the terminal's keys on the guest's keyboard.
// Owns: a timer, the text last shown. Does not own: the terminal, the VGA, the keyboard. See
// docs/usage.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "devices/bus/virtual_clock.h"
#include "devices/input/i8042.h"
#include "devices/screen/vga_text.h"

namespace ringshift {

class StateArchive;

struct TextDisplayConfig {
  std::function<std::string()> page;  // the screen's lines, each with its newline
  // Prints to the terminal. False: the terminal is behind; the next call has the screen's contents
  // of that moment.
  std::function<bool(const std::string&)> print;
  std::function<void()> poll_keys;  // offer the terminal's bytes to type()
};

class TextDisplay {
 public:
  TextDisplay(VirtualClock& clock, const VgaText& vga, I8042& keyboard, TextDisplayConfig config);

  // Bytes as a terminal sends them; returns how many were taken: those of one key at a time.
  size_t type(std::span<const uint8_t> bytes);
  // Shows the screen as it is now, if it has changed.
  void show();

  // When it looks at the terminal's keys next; of a replay.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  void refresh();
  [[nodiscard]] std::string cursor() const;

  // Not state: config_, shown_: they are the terminal's.
  VirtualClock& clock_;
  const VgaText& vga_;
  I8042& keyboard_;
  TextDisplayConfig config_;
  std::string shown_;
  ClockTimer timer_;
};

}  // namespace ringshift

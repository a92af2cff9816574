// KeyboardScript: keys pressed by a text: `c<wait:1>ls<enter>`, one after the other, as a patient
// person would. Owns: the steps, a timer. Does not own: the keyboard. The guest gets a key when it
// has taken the one before. See docs/usage.md; IBM PS/2 technical reference, scan code set 2.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "devices/input/i8042.h"

namespace ringshift {

class StateArchive;

struct KeyStep {
  enum class Kind : uint8_t { Key, Wait, Until, Mouse };
  Kind kind = Kind::Key;
  std::vector<uint8_t> codes;  // Key: press and release, scan code set 2
  Nanoseconds duration = 0;    // Wait
  MouseMotion motion;          // Mouse
  bool is_move = false;        // Mouse: the buttons stay as they are
  std::string text;            // Until: what the screen must show
};

// False, with the part that cannot be typed in *problem. <enter>, <esc>, <tab>, <backspace>,
// <space>, <up>, <down>, <left>, <right>, <home>, <end>, <delete>, <f1> to <f12>, <lt>; <ctrl-x> of
// a letter; <wait:SECONDS>; <until:TEXT>; of the mouse <move:RIGHT,UP>, <press>, <release>. A
// newline is <enter>.
[[nodiscard]] bool parse_keys(const std::string& text, std::vector<KeyStep>* steps,
                              std::string* problem);

// The key at the front of a terminal's bytes, as scan codes (none: it has no key here), and how
// many bytes it took: at least one. Pre: bytes is not empty.
[[nodiscard]] std::vector<uint8_t> codes_of_terminal_key(std::span<const uint8_t> bytes,
                                                         size_t* used);

class KeyboardScript {
 public:
  // screen: the text page now.
  KeyboardScript(VirtualClock& clock, I8042& keyboard, std::function<std::string()> screen,
                 std::vector<KeyStep> steps);

  // How far it has come. The steps are those the machine is made with, and must be as many.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  void go_on();

  VirtualClock& clock_;
  I8042& keyboard_;
  std::function<std::string()> screen_;
  std::vector<KeyStep> steps_;
  size_t next_ = 0;
  uint8_t held_ = 0;  // buttons of the mouse
  ClockTimer timer_;
};

}  // namespace ringshift

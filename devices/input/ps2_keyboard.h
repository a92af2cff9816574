// Ps2Keyboard: a keyboard of 101 keys and more, as the first port of an 8042 finds it, in all three
// scan code sets. Owns: the set, what set 3 does with each key, bytes that have not been taken. See
// docs/devices.md; IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-key)".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

namespace ringshift {

class StateArchive;

class Ps2Keyboard {
 public:
  Ps2Keyboard() { set_default_types(); }
  // Pre: nothing; any byte may come at any time.
  void command(uint8_t byte);
  // Keys that are pressed and released, in the codes of set 2; a key that is pressed again is one
  // that repeats. Returns how many bytes were accepted; a key code cut in half is the caller's to
  // avoid.
  size_t inject(std::span<const uint8_t> codes);
  [[nodiscard]] bool has_output() const { return !output_.empty(); }
  uint8_t take_output();

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);

 private:
  // Set 3: the codes that a key sends besides the one for going down, and whether it is down.
  enum KeyBits : uint8_t { kRepeats = 1, kBreaks = 2, kIsDown = 4 };

  bool take_argument(uint8_t of, uint8_t byte);
  bool set_key_types(uint8_t command);
  void set_defaults();
  void set_default_types();
  void set_types_of_all(uint8_t types);
  void reset();
  void send(uint8_t byte);
  [[nodiscard]] std::deque<uint8_t> in_chosen_set(std::span<const uint8_t> codes);
  void put_set_3(uint8_t code, bool is_release, std::deque<uint8_t>* bytes);

  std::deque<uint8_t> output_;
  uint8_t awaiting_argument_of_ = 0;
  uint8_t scancode_set_ = 2;
  bool scanning_ = true;
  uint8_t last_sent_ = 0;
  std::array<uint8_t, 0x90> keys_{};  // by code of set 3
};

}  // namespace ringshift

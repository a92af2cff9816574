// KeyTranslator: keys as a remote screen names them, X11 key symbols or scan codes, onto a US
// keyboard: scan codes of set 2. Owns: which keys are held, so that all can be let go. See
// docs/screen.md; IBM PS/2 technical reference; X Window System protocol, "Keysym encoding".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "devices/input/key_codes.h"

namespace ringshift {

class KeyTranslator {
 public:
  enum class Change : uint8_t { Press, Release };
  // Takes the scan codes of one key's change. False: it is lost; only a press may be.
  using Sink = std::function<bool(std::vector<uint8_t> codes, Change change)>;

  explicit KeyTranslator(Sink sink) : sink_(std::move(sink)) {}

  // A character's key symbol gets the shift that a US keyboard needs for it, whatever is held. The
  // symbols of third levels and of locks that the sender's side has applied already are ignored.
  void symbol(uint32_t symbol, Change change);
  // Scan code of set 1; bit 7 in place of the prefix e0. Others are ignored.
  void scan_code(uint32_t code, Change change);
  // The sender has gone.
  void release_all();

 private:
  void change_key(const KeyCode& key, Change change, std::vector<uint8_t> before = {},
                  std::vector<uint8_t> after = {});
  void press_character(const KeyCode& key, bool shifted);

  Sink sink_;
  std::set<KeyCode> held_;
  std::map<uint32_t, KeyCode> held_symbols_;  // released as what they were pressed as
};

}  // namespace ringshift

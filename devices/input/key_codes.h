// KeyCodes: the keys of a PC keyboard by the names that QEMU's monitors give them, and by their
// numbers of scan code set 1. A table. See docs/control.md; IBM PS/2 technical reference, scan code
// sets 1 and 2.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ringshift {

struct KeyCode {
  uint8_t code = 0;  // scan code set 2; 0xe1: Pause, which has eight bytes of its own
  bool extended = false;
  auto operator<=>(const KeyCode&) const = default;
};
// The pause key, which sends no release.
inline constexpr KeyCode kPauseKey{0xe1, false};

// "a", "ret", "ctrl", "f1", "kp_7"...
[[nodiscard]] std::optional<KeyCode> key_named(std::string_view name);
// Scan code set 1; bit 7, or 0xe0 in the byte above, says that the key is an extended one.
[[nodiscard]] std::optional<KeyCode> key_numbered(uint32_t number);
// The bytes that the keyboard sends when the key is pressed or released, in scan code set 2.
[[nodiscard]] std::vector<uint8_t> key_bytes(const KeyCode& key, bool down);

}  // namespace ringshift

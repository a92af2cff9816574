// ScanCodes: the codes that a key has in the three scan code sets of PC keyboards. Tables. See IBM
// PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-key)" and "Scan code
// translation".
#pragma once

#include <cstdint>

namespace ringshift {

// The code of set 1 that an 8042 makes of a code of set 2 (0 to 0xff), its prefixes aside.
[[nodiscard]] uint8_t set_1_of_set_2(uint8_t code);
// The code of set 2 that translation makes this code (1 to 0x7f) of set 1 from; 0: none.
[[nodiscard]] uint8_t set_2_of_set_1(uint8_t code);
// The code of set 3 of the key that has this code in set 2, behind the prefix e0 or not; 0: none.
[[nodiscard]] uint8_t set_3_of_set_2(uint8_t code, bool extended);

inline constexpr uint8_t kPauseOfSet3 = 0x62;
inline constexpr uint8_t kExtendedPrefix = 0xe0, kPausePrefix = 0xe1, kReleasePrefix = 0xf0;

}  // namespace ringshift

// UsKeyboard: the keys of a US keyboard that make characters, each as it is alone and with shift.
// See docs/usage.md; IBM PS/2 technical reference, scan code set 2.
#pragma once

#include <cstdint>

namespace ringshift {

struct UsCharacterKey {
  uint8_t code;
  char plain, shifted;
};
inline constexpr UsCharacterKey kUsCharacters[] = {
    {0x1c, 'a', 'A'}, {0x32, 'b', 'B'}, {0x21, 'c', 'C'}, {0x23, 'd', 'D'},  {0x24, 'e', 'E'},
    {0x2b, 'f', 'F'}, {0x34, 'g', 'G'}, {0x33, 'h', 'H'}, {0x43, 'i', 'I'},  {0x3b, 'j', 'J'},
    {0x42, 'k', 'K'}, {0x4b, 'l', 'L'}, {0x3a, 'm', 'M'}, {0x31, 'n', 'N'},  {0x44, 'o', 'O'},
    {0x4d, 'p', 'P'}, {0x15, 'q', 'Q'}, {0x2d, 'r', 'R'}, {0x1b, 's', 'S'},  {0x2c, 't', 'T'},
    {0x3c, 'u', 'U'}, {0x2a, 'v', 'V'}, {0x1d, 'w', 'W'}, {0x22, 'x', 'X'},  {0x35, 'y', 'Y'},
    {0x1a, 'z', 'Z'}, {0x45, '0', ')'}, {0x16, '1', '!'}, {0x1e, '2', '@'},  {0x26, '3', '#'},
    {0x25, '4', '$'}, {0x2e, '5', '%'}, {0x36, '6', '^'}, {0x3d, '7', '&'},  {0x3e, '8', '*'},
    {0x46, '9', '('}, {0x0e, '`', '~'}, {0x4e, '-', '_'}, {0x55, '=', '+'},  {0x5d, '\\', '|'},
    {0x54, '[', '{'}, {0x5b, ']', '}'}, {0x4c, ';', ':'}, {0x52, '\'', '"'}, {0x41, ',', '<'},
    {0x49, '.', '>'}, {0x4a, '/', '?'}, {0x29, ' ', ' '},
};

}  // namespace ringshift

#include "devices/input/key_codes.h"

namespace ringshift {
namespace {

constexpr uint8_t kPause = 0xe1, kExtended = 0xe0, kRelease = 0xf0;

constexpr struct {
  std::string_view name;
  KeyCode key;
  uint8_t number;  // scan code set 1, without its prefix
} kKeys[] = {
    {"esc", {0x76, false}, 0x01},
    {"1", {0x16, false}, 0x02},
    {"2", {0x1e, false}, 0x03},
    {"3", {0x26, false}, 0x04},
    {"4", {0x25, false}, 0x05},
    {"5", {0x2e, false}, 0x06},
    {"6", {0x36, false}, 0x07},
    {"7", {0x3d, false}, 0x08},
    {"8", {0x3e, false}, 0x09},
    {"9", {0x46, false}, 0x0a},
    {"0", {0x45, false}, 0x0b},
    {"minus", {0x4e, false}, 0x0c},
    {"equal", {0x55, false}, 0x0d},
    {"backspace", {0x66, false}, 0x0e},
    {"tab", {0x0d, false}, 0x0f},
    {"q", {0x15, false}, 0x10},
    {"w", {0x1d, false}, 0x11},
    {"e", {0x24, false}, 0x12},
    {"r", {0x2d, false}, 0x13},
    {"t", {0x2c, false}, 0x14},
    {"y", {0x35, false}, 0x15},
    {"u", {0x3c, false}, 0x16},
    {"i", {0x43, false}, 0x17},
    {"o", {0x44, false}, 0x18},
    {"p", {0x4d, false}, 0x19},
    {"bracket_left", {0x54, false}, 0x1a},
    {"bracket_right", {0x5b, false}, 0x1b},
    {"ret", {0x5a, false}, 0x1c},
    {"ctrl", {0x14, false}, 0x1d},
    {"a", {0x1c, false}, 0x1e},
    {"s", {0x1b, false}, 0x1f},
    {"d", {0x23, false}, 0x20},
    {"f", {0x2b, false}, 0x21},
    {"g", {0x34, false}, 0x22},
    {"h", {0x33, false}, 0x23},
    {"j", {0x3b, false}, 0x24},
    {"k", {0x42, false}, 0x25},
    {"l", {0x4b, false}, 0x26},
    {"semicolon", {0x4c, false}, 0x27},
    {"apostrophe", {0x52, false}, 0x28},
    {"grave_accent", {0x0e, false}, 0x29},
    {"shift", {0x12, false}, 0x2a},
    {"backslash", {0x5d, false}, 0x2b},
    {"z", {0x1a, false}, 0x2c},
    {"x", {0x22, false}, 0x2d},
    {"c", {0x21, false}, 0x2e},
    {"v", {0x2a, false}, 0x2f},
    {"b", {0x32, false}, 0x30},
    {"n", {0x31, false}, 0x31},
    {"m", {0x3a, false}, 0x32},
    {"comma", {0x41, false}, 0x33},
    {"dot", {0x49, false}, 0x34},
    {"slash", {0x4a, false}, 0x35},
    {"shift_r", {0x59, false}, 0x36},
    {"asterisk", {0x7c, false}, 0x37},
    {"kp_multiply", {0x7c, false}, 0x37},
    {"alt", {0x11, false}, 0x38},
    {"spc", {0x29, false}, 0x39},
    {"caps_lock", {0x58, false}, 0x3a},
    {"f1", {0x05, false}, 0x3b},
    {"f2", {0x06, false}, 0x3c},
    {"f3", {0x04, false}, 0x3d},
    {"f4", {0x0c, false}, 0x3e},
    {"f5", {0x03, false}, 0x3f},
    {"f6", {0x0b, false}, 0x40},
    {"f7", {0x83, false}, 0x41},
    {"f8", {0x0a, false}, 0x42},
    {"f9", {0x01, false}, 0x43},
    {"f10", {0x09, false}, 0x44},
    {"num_lock", {0x77, false}, 0x45},
    {"scroll_lock", {0x7e, false}, 0x46},
    {"kp_7", {0x6c, false}, 0x47},
    {"kp_8", {0x75, false}, 0x48},
    {"kp_9", {0x7d, false}, 0x49},
    {"kp_subtract", {0x7b, false}, 0x4a},
    {"kp_4", {0x6b, false}, 0x4b},
    {"kp_5", {0x73, false}, 0x4c},
    {"kp_6", {0x74, false}, 0x4d},
    {"kp_add", {0x79, false}, 0x4e},
    {"kp_1", {0x69, false}, 0x4f},
    {"kp_2", {0x72, false}, 0x50},
    {"kp_3", {0x7a, false}, 0x51},
    {"kp_0", {0x70, false}, 0x52},
    {"kp_decimal", {0x71, false}, 0x53},
    {"sysrq", {0x84, false}, 0x54},
    {"less", {0x61, false}, 0x56},
    {"f11", {0x78, false}, 0x57},
    {"f12", {0x07, false}, 0x58},
    {"kp_enter", {0x5a, true}, 0x1c},
    {"ctrl_r", {0x14, true}, 0x1d},
    {"kp_divide", {0x4a, true}, 0x35},
    {"print", {0x7c, true}, 0x37},
    {"alt_r", {0x11, true}, 0x38},
    {"home", {0x6c, true}, 0x47},
    {"up", {0x75, true}, 0x48},
    {"pgup", {0x7d, true}, 0x49},
    {"left", {0x6b, true}, 0x4b},
    {"right", {0x74, true}, 0x4d},
    {"end", {0x69, true}, 0x4f},
    {"down", {0x72, true}, 0x50},
    {"pgdn", {0x7a, true}, 0x51},
    {"insert", {0x70, true}, 0x52},
    {"delete", {0x71, true}, 0x53},
    {"meta_l", {0x1f, true}, 0x5b},
    {"meta_r", {0x27, true}, 0x5c},
    {"menu", {0x2f, true}, 0x5d},
    {"compose", {0x2f, true}, 0x5d},
    {"pause", kPauseKey, 0xc6},
};

}  // namespace

std::optional<KeyCode> key_named(std::string_view name) {
  for (const auto& row : kKeys) {
    if (row.name == name) return row.key;
  }
  return std::nullopt;
}

std::optional<KeyCode> key_numbered(uint32_t number) {
  constexpr uint32_t kPauseNumber = 0xc6;
  const uint32_t prefix = number >> 8;
  if (prefix != 0 && prefix != kExtended) return std::nullopt;
  const bool extended = prefix == kExtended || (number & 0x80) != 0;
  if (number == kPauseNumber) return kPauseKey;
  for (const auto& row : kKeys) {
    if (row.number == (number & 0x7f) && row.key.extended == extended) return row.key;
  }
  return std::nullopt;
}

std::vector<uint8_t> key_bytes(const KeyCode& key, bool down) {
  if (key == kPauseKey) {
    if (!down) return {};
    return {kPause, 0x14, 0x77, kPause, kRelease, 0x14, kRelease, 0x77};
  }
  std::vector<uint8_t> bytes;
  if (key.extended) bytes.push_back(kExtended);
  if (!down) bytes.push_back(kRelease);
  bytes.push_back(key.code);
  return bytes;
}

}  // namespace ringshift

#include "devices/input/key_translator.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "devices/input/scan_codes.h"
#include "devices/input/us_keyboard.h"

namespace ringshift {
namespace {

constexpr KeyCode kLeftShift{0x12}, kRightShift{0x59};

// Key symbols that are no characters (keysymdef.h of the X Window System names them).
constexpr struct {
  uint32_t symbol;
  KeyCode key;
} kSymbols[] = {
    {0xff08, {0x66}},        // backspace
    {0xff09, {0x0d}},        // tab
    {0xfe20, {0x0d}},        // tab with shift
    {0xff0d, {0x5a}},        // return
    {0xff13, kPauseKey},     // pause
    {0xff14, {0x7e}},        // scroll lock
    {0xff1b, {0x76}},        // escape
    {0xff50, {0x6c, true}},  // home
    {0xff51, {0x6b, true}},  // left
    {0xff52, {0x75, true}},  // up
    {0xff53, {0x74, true}},  // right
    {0xff54, {0x72, true}},  // down
    {0xff55, {0x7d, true}},  // page up
    {0xff56, {0x7a, true}},  // page down
    {0xff57, {0x69, true}},  // end
    {0xff61, {0x7c, true}},  // print
    {0xff63, {0x70, true}},  // insert
    {0xff67, {0x2f, true}},  // menu
    {0xff7f, {0x77}},        // num lock
    {0xff8d, {0x5a, true}},  // keypad enter
    {0xff95, {0x6c}},        // keypad: home, left, up, right, down
    {0xff96, {0x6b}},
    {0xff97, {0x75}},
    {0xff98, {0x74}},
    {0xff99, {0x72}},
    {0xff9a, {0x7d}},  // keypad: page up and down, end, middle, insert,
                       // delete
    {0xff9b, {0x7a}},
    {0xff9c, {0x69}},
    {0xff9d, {0x73}},
    {0xff9e, {0x70}},
    {0xff9f, {0x71}},
    {0xffaa, {0x7c}},  // keypad * + - . /
    {0xffab, {0x79}},
    {0xffad, {0x7b}},
    {0xffae, {0x71}},
    {0xffaf, {0x4a, true}},
    {0xffb0, {0x70}},  // keypad 0 to 9
    {0xffb1, {0x69}},
    {0xffb2, {0x72}},
    {0xffb3, {0x7a}},
    {0xffb4, {0x6b}},
    {0xffb5, {0x73}},
    {0xffb6, {0x74}},
    {0xffb7, {0x6c}},
    {0xffb8, {0x75}},
    {0xffb9, {0x7d}},
    {0xffbe, {0x05}},  // f1 to f12
    {0xffbf, {0x06}},
    {0xffc0, {0x04}},
    {0xffc1, {0x0c}},
    {0xffc2, {0x03}},
    {0xffc3, {0x0b}},
    {0xffc4, {0x83}},
    {0xffc5, {0x0a}},
    {0xffc6, {0x01}},
    {0xffc7, {0x09}},
    {0xffc8, {0x78}},
    {0xffc9, {0x07}},
    {0xffe1, kLeftShift},
    {0xffe2, kRightShift},
    {0xffe3, {0x14}},        // control
    {0xffe4, {0x14, true}},  // right control
    {0xffe7, {0x11}},        // meta, alt
    {0xffe8, {0x11, true}},
    {0xffe9, {0x11}},
    {0xffea, {0x11, true}},
    {0xffeb, {0x1f, true}},  // super
    {0xffec, {0x27, true}},
    {0xffff, {0x71, true}},  // delete
};

std::optional<KeyCode> key_of_symbol(uint32_t symbol) {
  for (const auto& row : kSymbols) {
    if (row.symbol == symbol) return row.key;
  }
  return std::nullopt;
}

const UsCharacterKey* character_key(uint32_t symbol) {
  const auto* const found =
      std::find_if(std::begin(kUsCharacters), std::end(kUsCharacters), [&](const auto& row) {
        return symbol == static_cast<uint8_t>(row.plain) ||
               symbol == static_cast<uint8_t>(row.shifted);
      });
  return found == std::end(kUsCharacters) ? nullptr : found;
}

void append(std::vector<uint8_t>* codes, const KeyCode& key, KeyTranslator::Change change) {
  const std::vector<uint8_t> bytes = key_bytes(key, change == KeyTranslator::Change::Press);
  codes->insert(codes->end(), bytes.begin(), bytes.end());
}

}  // namespace

void KeyTranslator::change_key(const KeyCode& key, Change change, std::vector<uint8_t> before,
                               std::vector<uint8_t> after) {
  if (change == Change::Release && held_.erase(key) == 0) return;
  std::vector<uint8_t> codes = std::move(before);
  append(&codes, key, change);
  codes.insert(codes.end(), after.begin(), after.end());
  if (codes.empty()) return;
  if (sink_(std::move(codes), change) && change == Change::Press) held_.insert(key);
}

void KeyTranslator::press_character(const KeyCode& key, bool shifted) {
  std::vector<uint8_t> before, after;
  const bool is_shifted = held_.contains(kLeftShift) || held_.contains(kRightShift);
  if (shifted && !is_shifted) {
    append(&before, kLeftShift, Change::Press);
    append(&after, kLeftShift, Change::Release);
  } else if (!shifted && is_shifted) {
    for (const KeyCode& shift : {kLeftShift, kRightShift}) {
      if (!held_.contains(shift)) continue;
      append(&before, shift, Change::Release);
      append(&after, shift, Change::Press);
    }
  }
  change_key(key, Change::Press, std::move(before), std::move(after));
}

void KeyTranslator::symbol(uint32_t symbol, Change change) {
  if (change == Change::Release) {
    const auto held = held_symbols_.find(symbol);
    if (held != held_symbols_.end()) {
      change_key(held->second, change);
      held_symbols_.erase(held);
    }
    return;
  }
  KeyCode key;
  if (const UsCharacterKey* character = character_key(symbol)) {
    key = {character->code};
    const bool is_same = character->plain == character->shifted;  // the space bar
    if (is_same) {
      change_key(key, change);
    } else {
      press_character(key, symbol == static_cast<uint8_t>(character->shifted));
    }
  } else if (const auto other = key_of_symbol(symbol)) {
    key = *other;
    change_key(key, change);
  } else {
    return;
  }
  if (held_.contains(key)) held_symbols_[symbol] = key;
}

void KeyTranslator::scan_code(uint32_t code, Change change) {
  constexpr uint32_t kPauseCode = 0xc6, kPrefixBit = 0x80, kLargest = 0xff;
  if (code == 0 || code > kLargest) return;
  if (code == kPauseCode) return change_key(kPauseKey, change);
  const uint8_t second = set_2_of_set_1(static_cast<uint8_t>(code & 0x7f));
  if (second == 0) return;
  change_key({second, (code & kPrefixBit) != 0}, change);
}

void KeyTranslator::release_all() {
  held_symbols_.clear();
  while (!held_.empty()) change_key(KeyCode(*held_.begin()), Change::Release);
}

}  // namespace ringshift

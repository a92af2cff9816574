#include "devices/input/keyboard_script.h"

#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "devices/input/key_codes.h"
#include "devices/input/us_keyboard.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kBetweenKeys = 30'000'000, kBetweenLooks = 100'000'000;
constexpr KeyCode kShift{0x12}, kControl{0x14};
constexpr uint32_t kMostSeconds = 86'400;

const std::map<std::string, KeyCode, std::less<>>& named_keys() {
  static const std::map<std::string, KeyCode, std::less<>> kNames = {
      {"enter", {0x5a}},        {"esc", {0x76}},
      {"tab", {0x0d}},          {"backspace", {0x66}},
      {"space", {0x29}},        {"up", {0x75, true}},
      {"down", {0x72, true}},   {"left", {0x6b, true}},
      {"right", {0x74, true}},  {"home", {0x6c, true}},
      {"end", {0x69, true}},    {"delete", {0x71, true}},
      {"pageup", {0x7d, true}}, {"pagedown", {0x7a, true}},
      {"f1", {0x05}},           {"f2", {0x06}},
      {"f3", {0x04}},           {"f4", {0x0c}},
      {"f5", {0x03}},           {"f6", {0x0b}},
      {"f7", {0x83}},           {"f8", {0x0a}},
      {"f9", {0x01}},           {"f10", {0x09}},
      {"f11", {0x78}},          {"f12", {0x07}},
  };
  return kNames;
}

// A key alone, or with another one held meanwhile.
KeyStep press(const KeyCode& key, std::optional<KeyCode> modifier = std::nullopt) {
  KeyStep step;
  const auto add = [&step](const KeyCode& one, bool down) {
    const std::vector<uint8_t> bytes = key_bytes(one, down);
    step.codes.insert(step.codes.end(), bytes.begin(), bytes.end());
  };
  if (modifier) add(*modifier, true);
  add(key, true);
  add(key, false);
  if (modifier) add(*modifier, false);
  return step;
}

std::optional<KeyStep> character_step(char character,
                                      std::optional<KeyCode> modifier = std::nullopt) {
  for (const auto& row : kUsCharacters) {
    if (row.plain == character) return press({row.code}, modifier);
    if (row.shifted == character && !modifier) return press({row.code}, kShift);
  }
  return std::nullopt;
}

std::optional<KeyStep> wait_step(std::string_view seconds) {
  KeyStep step;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(seconds.begin(), seconds.end(), value);
  if (error != std::errc() || end != seconds.end() || value > kMostSeconds) return std::nullopt;
  step.kind = KeyStep::Kind::Wait;
  step.duration = Nanoseconds{value} * 1'000'000'000;
  return step;
}

// "RIGHT,UP".
std::optional<KeyStep> move_step(std::string_view counts) {
  KeyStep step;
  step.kind = KeyStep::Kind::Mouse;
  step.is_move = true;
  const char* const end = counts.data() + counts.size();
  const auto right = std::from_chars(counts.data(), end, step.motion.right);
  if (right.ec != std::errc() || right.ptr == end || *right.ptr != ',') return std::nullopt;
  const auto up = std::from_chars(right.ptr + 1, end, step.motion.up);
  if (up.ec != std::errc() || up.ptr != end) return std::nullopt;
  return step;
}

KeyStep button_step(uint8_t buttons) {
  KeyStep step;
  step.kind = KeyStep::Kind::Mouse;
  step.motion.buttons = buttons;
  return step;
}

std::optional<KeyStep> named_step(std::string_view name) {
  constexpr std::string_view kWait = "wait:", kUntil = "until:", kControlPrefix = "ctrl-";
  constexpr std::string_view kMove = "move:";
  if (name.substr(0, kMove.size()) == kMove) return move_step(name.substr(kMove.size()));
  if (name == "press" || name == "release") return button_step(name == "press" ? 1 : 0);
  if (name == "lt") return character_step('<');
  if (name.substr(0, kWait.size()) == kWait) return wait_step(name.substr(kWait.size()));
  if (name.substr(0, kUntil.size()) == kUntil && name.size() > kUntil.size()) {
    KeyStep step;
    step.kind = KeyStep::Kind::Until;
    step.text = name.substr(kUntil.size());
    return step;
  }
  if (name.substr(0, kControlPrefix.size()) == kControlPrefix &&
      name.size() == kControlPrefix.size() + 1) {
    return character_step(name.back(), kControl);
  }
  const auto found = named_keys().find(name);
  if (found == named_keys().end()) return std::nullopt;
  return press(found->second);
}

// Is the text on the page? A line of the page ends where nothing more is shown; a text that ends in
// blanks finds them behind that.
bool shows(const std::string& page, const std::string& text) {
  std::string padded;
  for (const char c : page) {
    if (c == '\n') padded.append(text.size(), ' ');
    padded += c;
  }
  return padded.find(text) != std::string::npos;
}

}  // namespace

bool parse_keys(const std::string& text, std::vector<KeyStep>* steps, std::string* problem) {
  for (size_t i = 0; i < text.size(); ++i) {
    std::optional<KeyStep> step;
    std::string what(1, text[i]);
    if (text[i] == '<') {
      const size_t end = text.find('>', i);
      what = text.substr(i, end == std::string::npos ? end : end - i + 1);
      if (end != std::string::npos) step = named_step(text.substr(i + 1, end - i - 1));
      i += what.size() - 1;
    } else {
      step = text[i] == '\n' ? named_step("enter") : character_step(text[i]);
    }
    if (!step) {
      *problem = "cannot type '" + what + "'";
      return false;
    }
    steps->push_back(std::move(*step));
  }
  return true;
}

std::vector<uint8_t> codes_of_terminal_key(std::span<const uint8_t> bytes, size_t* used) {
  // The sequences that usual terminals send for keys that are not characters.
  static constexpr struct {
    std::string_view sequence, name;
  } kSequences[] = {
      {"\x1b[A", "up"},        {"\x1b[B", "down"},    {"\x1b[C", "right"},   {"\x1b[D", "left"},
      {"\x1b[H", "home"},      {"\x1b[F", "end"},     {"\x1b[3~", "delete"}, {"\x1b[5~", "pageup"},
      {"\x1b[6~", "pagedown"}, {"\x1bOP", "f1"},      {"\x1bOQ", "f2"},      {"\x1bOR", "f3"},
      {"\x1bOS", "f4"},        {"\x1b[15~", "f5"},    {"\x1b[17~", "f6"},    {"\x1b[18~", "f7"},
      {"\x1b[19~", "f8"},      {"\x1b[20~", "f9"},    {"\x1b[21~", "f10"},   {"\x1b[23~", "f11"},
      {"\x1b[24~", "f12"},     {"\x1b", "esc"},       {"\r", "enter"},       {"\n", "enter"},
      {"\t", "tab"},           {"\x7f", "backspace"}, {"\b", "backspace"},
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const auto& row : kSequences) {
    if (text.substr(0, row.sequence.size()) != row.sequence) continue;
    *used = row.sequence.size();
    return named_step(row.name)->codes;
  }
  *used = 1;
  const uint8_t byte = bytes[0];
  const std::optional<KeyStep> step =
      byte >= 1 && byte <= 26 ? character_step(static_cast<char>('a' + byte - 1), kControl)
                              : character_step(static_cast<char>(byte));
  return step ? step->codes : std::vector<uint8_t>();
}

KeyboardScript::KeyboardScript(VirtualClock& clock, I8042& keyboard,
                               std::function<std::string()> screen, std::vector<KeyStep> steps)
    : clock_(clock),
      keyboard_(keyboard),
      screen_(std::move(screen)),
      steps_(std::move(steps)),
      timer_(clock, [this](Nanoseconds) { go_on(); }) {
  if (!steps_.empty()) timer_.arm(clock_.now() + kBetweenKeys);
}

void KeyboardScript::go_on() {
  if (next_ == steps_.size()) return;
  const KeyStep& step = steps_[next_];
  Nanoseconds pause = kBetweenKeys;
  bool done = true;
  switch (step.kind) {
    case KeyStep::Kind::Key:
      done = keyboard_.keys_taken();
      if (done) (void)keyboard_.inject_scancodes(step.codes);
      break;
    case KeyStep::Kind::Mouse:
      if (!step.is_move) held_ = step.motion.buttons;
      keyboard_.move_mouse({.right = step.motion.right, .up = step.motion.up, .buttons = held_});
      break;
    case KeyStep::Kind::Wait:
      pause = step.duration;
      break;
    case KeyStep::Kind::Until:
      done = shows(screen_(), step.text);
      if (!done) pause = kBetweenLooks;
      break;
  }
  if (done) ++next_;
  if (next_ != steps_.size()) timer_.arm(clock_.now() + pause);
}

void KeyboardScript::visit_state(StateArchive& archive) {
  archive.same("steps", steps_.size());
  archive.field("next", next_, 0, steps_.size());
  archive.field("held", held_);
  archive.part("timer", timer_);
}

}  // namespace ringshift

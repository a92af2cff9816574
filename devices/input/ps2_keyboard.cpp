#include "devices/input/ps2_keyboard.h"

#include <algorithm>
#include <utility>

#include "devices/input/scan_codes.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr size_t kMostOutput = 64;
constexpr uint8_t kAcknowledge = 0xfa, kResend = 0xfe, kSelfTestPassed = 0xaa, kEcho = 0xee;
constexpr uint8_t kSetLeds = 0xed, kChooseSet = 0xf0, kSetRate = 0xf3;
constexpr uint8_t kFirstCommand = 0xed;
// Sets 1 and 2 have no other press for Pause, and no release; set 2's is what comes in.
constexpr uint8_t kPauseOfSet2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
constexpr uint8_t kPauseOfSet1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};

// Keys of set 3 that say when they are let go, and those that say once that they are pressed; all
// others repeat (technical reference, "Scan code set 3", default key states).
constexpr uint8_t kMakeAndBreak[] = {0x11, 0x12, 0x14, 0x19, 0x59};
constexpr uint8_t kMakeOnly[] = {0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f,
                                 0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65, 0x67,
                                 0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73,
                                 0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e, 0x84};

}  // namespace

void Ps2Keyboard::send(uint8_t byte) {
  // A host that never reads loses answers, as it would lose keys.
  if (output_.size() < kMostOutput) output_.push_back(byte);
}

uint8_t Ps2Keyboard::take_output() {
  last_sent_ = output_.front();
  output_.pop_front();
  return last_sent_;
}

size_t Ps2Keyboard::inject(std::span<const uint8_t> codes) {
  if (!scanning_) return codes.size();  // keys pressed while scanning is off are gone
  const size_t room = kMostOutput - output_.size();
  if (scancode_set_ == 2) {
    const size_t accepted = std::min(codes.size(), room);
    output_.insert(output_.end(), codes.begin(), codes.begin() + static_cast<ptrdiff_t>(accepted));
    return accepted;
  }
  const std::deque<uint8_t> bytes = in_chosen_set(codes);
  if (bytes.size() > room) return 0;
  output_.insert(output_.end(), bytes.begin(), bytes.end());
  return codes.size();
}

// Sets 1 and 3: whole keys, as they come in set 2, in their own codes.
std::deque<uint8_t> Ps2Keyboard::in_chosen_set(std::span<const uint8_t> codes) {
  std::deque<uint8_t> bytes;
  bool extended = false, is_release = false;
  while (!codes.empty()) {
    const uint8_t code = codes.front();
    if (code == kPausePrefix && codes.size() >= std::size(kPauseOfSet2)) {
      codes = codes.subspan(std::size(kPauseOfSet2));
      if (scancode_set_ == 3) {
        put_set_3(kPauseOfSet3, false, &bytes);
        put_set_3(kPauseOfSet3, true, &bytes);
      } else {
        bytes.insert(bytes.end(), std::begin(kPauseOfSet1), std::end(kPauseOfSet1));
      }
      continue;
    }
    codes = codes.subspan(1);
    if (code == kExtendedPrefix) {
      extended = true;
      continue;
    }
    if (code == kReleasePrefix) {
      is_release = true;
      continue;
    }
    if (scancode_set_ == 3) {
      put_set_3(set_3_of_set_2(code, extended), is_release, &bytes);
    } else {
      if (extended) bytes.push_back(kExtendedPrefix);
      bytes.push_back(static_cast<uint8_t>(set_1_of_set_2(code) | (is_release ? 0x80 : 0)));
    }
    extended = is_release = false;
  }
  return bytes;
}

void Ps2Keyboard::put_set_3(uint8_t code, bool is_release, std::deque<uint8_t>* bytes) {
  if (code == 0 || code >= keys_.size()) return;
  uint8_t& key = keys_[code];
  const bool was_down = (key & kIsDown) != 0;
  key = static_cast<uint8_t>(is_release ? key & ~kIsDown : key | kIsDown);
  if (is_release) {
    if ((key & kBreaks) == 0) return;
    bytes->push_back(kReleasePrefix);
  } else if (was_down && (key & kRepeats) == 0) {
    return;
  }
  bytes->push_back(code);
}

void Ps2Keyboard::set_types_of_all(uint8_t types) { keys_.fill(types); }

void Ps2Keyboard::set_default_types() {
  set_types_of_all(kRepeats);
  for (const uint8_t code : kMakeAndBreak) keys_[code] = kBreaks;
  for (const uint8_t code : kMakeOnly) keys_[code] = 0;
}

void Ps2Keyboard::set_defaults() {
  scancode_set_ = 2;
  awaiting_argument_of_ = 0;
  set_default_types();
}

void Ps2Keyboard::reset() {
  output_.clear();
  set_defaults();
  scanning_ = true;
  send(kAcknowledge);
  send(kSelfTestPassed);
}

// Takes the byte that follows a command. False: it is a command itself, which cancels the one
// before.
bool Ps2Keyboard::take_argument(uint8_t of, uint8_t byte) {
  if (byte >= kFirstCommand) return false;
  send(kAcknowledge);
  if (of == kChooseSet && byte == 0) send(scancode_set_);
  if (of == kChooseSet && byte >= 1 && byte <= 3) {
    scancode_set_ = byte;
    for (uint8_t& key : keys_) key &= static_cast<uint8_t>(~kIsDown);
  }
  if (of < 0xfb || of > 0xfd) return true;
  awaiting_argument_of_ = of;  // any number of keys, until a command
  if (byte < keys_.size()) {
    const uint8_t types = of == 0xfb ? kRepeats : of == 0xfc ? kBreaks : 0;
    keys_[byte] = static_cast<uint8_t>((keys_[byte] & kIsDown) | types);
  }
  return true;
}

// The key types of set 3: those of all keys (f7 to fa), or of the keys that are named next (fb to
// fd).
bool Ps2Keyboard::set_key_types(uint8_t command) {
  constexpr uint8_t kOfAll[] = {kRepeats, kBreaks, 0, kRepeats | kBreaks};
  if (command < 0xf7 || command > 0xfd) return false;
  output_.clear();
  if (command <= 0xfa) {
    set_types_of_all(kOfAll[command - 0xf7]);
  } else {
    awaiting_argument_of_ = command;
  }
  send(kAcknowledge);
  return true;
}

void Ps2Keyboard::command(uint8_t byte) {
  const uint8_t waiting = std::exchange(awaiting_argument_of_, uint8_t{0});
  if (waiting != 0 && take_argument(waiting, byte)) return;
  if (set_key_types(byte)) return;
  switch (byte) {
    case kChooseSet:
    case kSetLeds:
    case kSetRate:
      awaiting_argument_of_ = byte;
      send(kAcknowledge);
      break;
    case kEcho:
      send(kEcho);
      break;
    case 0xf2:  // identify: an MF2 keyboard
      send(kAcknowledge);
      send(0xab);
      send(0x83);
      break;
    case 0xf4:
      scanning_ = true;
      output_.clear();
      send(kAcknowledge);
      break;
    case 0xf5:
      scanning_ = false;
      set_defaults();
      send(kAcknowledge);
      break;
    case 0xf6:
      set_defaults();
      send(kAcknowledge);
      break;
    case 0xfe:
      send(last_sent_);
      break;
    case 0xff:
      reset();
      break;
    default:
      send(kResend);
      break;
  }
}

void Ps2Keyboard::visit_state(StateArchive& archive) {
  archive.list("output", output_, kMostOutput);
  archive.field("awaiting argument of", awaiting_argument_of_);
  archive.field("scan code set", scancode_set_, 1, 3);
  archive.field("scanning", scanning_);
  if (archive.version() < 2) return;
  archive.field("last sent", last_sent_);
  archive.numbers("keys", keys_);
}

}  // namespace ringshift

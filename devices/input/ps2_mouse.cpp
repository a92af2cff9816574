#include "devices/input/ps2_mouse.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint8_t kAcknowledge = 0xfa, kResend = 0xfe, kSelfTestPassed = 0xaa;
constexpr size_t kBuffer = 64, kLongestPacket = 4;
constexpr int kFurthest = 1'000'000;  // counts that wait to be reported

int add(int value, int more) {
  return std::clamp(value + std::clamp(more, -kFurthest, kFurthest), -kFurthest, kFurthest);
}

bool is_command(uint8_t byte) {
  constexpr uint8_t kCommands[] = {0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xee,
                                   0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff};
  return std::find(std::begin(kCommands), std::end(kCommands), byte) != std::end(kCommands);
}

}  // namespace

// A host that never reads loses answers.
void Ps2Mouse::send(uint8_t byte) {
  if (output_.size() >= kBuffer) return;
  output_.push_back(byte);
  if (last_.count < last_.bytes.size()) last_.bytes[last_.count++] = byte;
}

uint8_t Ps2Mouse::take_output() {
  const uint8_t byte = output_.front();
  output_.pop_front();
  report();  // the movement that there was no room for
  return byte;
}

void Ps2Mouse::set_defaults() {
  rate_ = 100;
  resolution_ = 2;
  reporting_ = remote_ = doubles_ = false;
  forget_movement();
}

void Ps2Mouse::forget_movement() {
  has_news_ = false;
  pending_ = {.buttons = pending_.buttons};
}

// 200, 100, 80 in a row: the host knows of wheels, and the mouse says that it has one.
void Ps2Mouse::note_rate(uint8_t rate) {
  rate_ = rate;
  rates_seen_[0] = std::exchange(rates_seen_[1], std::exchange(rates_seen_[2], rate));
  has_wheel_ |= rates_seen_[0] == 200 && rates_seen_[1] == 100 && rates_seen_[2] == 80;
}

void Ps2Mouse::take_argument(uint8_t of, uint8_t byte) {
  if (of == 0xf3) {
    note_rate(byte);
  } else {
    resolution_ = byte & 3;
  }
  send(kAcknowledge);
}

void Ps2Mouse::send_status() {
  const unsigned left = pending_.buttons & 1, right = pending_.buttons >> 1 & 1;
  const unsigned middle = pending_.buttons >> 2 & 1;
  send(static_cast<uint8_t>((remote_ ? 0x40 : 0) | (reporting_ ? 0x20 : 0) | (doubles_ ? 0x10 : 0) |
                            left << 2 | middle << 1 | right));
  send(resolution_);
  send(rate_);
}

// As much of the movement as one packet holds.
void Ps2Mouse::send_packet() {
  last_ = {};
  const int x = std::clamp(pending_.right, -255, 255), y = std::clamp(pending_.up, -255, 255);
  const int z = std::clamp(pending_.wheel, -8, 7);
  pending_.right -= x;
  pending_.up -= y;
  send(static_cast<uint8_t>(0x08 | (pending_.buttons & 7) | (x < 0 ? 0x10 : 0) |
                            (y < 0 ? 0x20 : 0)));
  send(static_cast<uint8_t>(x));
  send(static_cast<uint8_t>(y));
  if (has_wheel_) send(static_cast<uint8_t>(z));
  pending_.wheel = has_wheel_ ? pending_.wheel - z : 0;
  has_news_ = pending_.right != 0 || pending_.up != 0 || pending_.wheel != 0;
}

void Ps2Mouse::report() {
  while (has_news_ && reporting_ && !remote_ && !echoes_ &&
         output_.size() + kLongestPacket <= kBuffer) {
    send_packet();
  }
}

void Ps2Mouse::move(const MouseMotion& motion) {
  pending_.buttons = motion.buttons;
  if (!reporting_ && !remote_) return;
  pending_.right = add(pending_.right, motion.right);
  pending_.up = add(pending_.up, motion.up);
  pending_.wheel = add(pending_.wheel, motion.wheel);
  has_news_ = true;
  report();
}

void Ps2Mouse::command(uint8_t byte) {
  if (echoes_ && byte != 0xec && byte != 0xff) {
    last_ = {};  // each echo is an answer of its own
    return send(byte);
  }
  if (const uint8_t of = std::exchange(awaiting_argument_of_, uint8_t{0}); of != 0) {
    return take_argument(of, byte);
  }
  // The command discards output that waits (technical reference, "Commands").
  output_.clear();
  const Said said = std::exchange(last_, {});
  if (byte == kResend) {
    for (size_t i = 0; i < said.count; ++i) send(said.bytes[i]);
    return;
  }
  if (!is_command(byte)) return send(kResend);
  send(kAcknowledge);
  switch (byte) {
    case 0xe6:
    case 0xe7:
      doubles_ = byte == 0xe7;
      break;
    case 0xe8:
    case 0xf3:
      awaiting_argument_of_ = byte;
      break;
    case 0xe9:
      send_status();
      break;
    case 0xea:
    case 0xf0:
      remote_ = byte == 0xf0;
      forget_movement();
      break;
    case 0xeb:
      send_packet();
      break;
    case 0xec:
    case 0xee:
      echoes_ = byte == 0xee;
      break;
    case 0xf2:
      send(has_wheel_ ? 3 : 0);
      break;
    case 0xf4:
    case 0xf5:
      reporting_ = byte == 0xf4;
      forget_movement();
      break;
    case 0xf6:
      set_defaults();
      break;
    case 0xff:
      set_defaults();
      has_wheel_ = echoes_ = false;
      std::ranges::fill(rates_seen_, uint8_t{0});
      send(kSelfTestPassed);
      send(0);  // the plain mouse's identity
      break;
    default:
      break;
  }
}

void Ps2Mouse::Said::visit_state(StateArchive& archive) {
  archive.numbers("bytes", bytes);
  archive.field("count", count, 0, bytes.size());
}

void Ps2Mouse::visit_state(StateArchive& archive) {
  archive.list("output", output_, kBuffer);
  archive.part("last", last_);
  archive.field("pending right", pending_.right, -kFurthest, kFurthest);
  archive.field("pending up", pending_.up, -kFurthest, kFurthest);
  archive.field("pending wheel", pending_.wheel, -kFurthest, kFurthest);
  archive.field("buttons", pending_.buttons);
  archive.field("has news", has_news_);
  archive.field("awaiting argument of", awaiting_argument_of_);
  archive.field("rate", rate_);
  archive.field("resolution", resolution_);
  archive.numbers("rates seen", rates_seen_);
  archive.field("has wheel", has_wheel_);
  archive.field("reporting", reporting_);
  archive.field("remote", remote_);
  archive.field("doubles", doubles_);
  archive.field("echoes", echoes_);
}

}  // namespace ringshift

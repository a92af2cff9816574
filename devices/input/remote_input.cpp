#include "devices/input/remote_input.h"

#include <algorithm>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Between two looks at whether the guest has taken a key: a patient guest loses none.
constexpr Nanoseconds kBetweenKeys = 2'000'000;
constexpr size_t kMotionBytes = 6;
constexpr int kFurthest = 32767, kMostSteps = 127;

void put_number(std::vector<uint8_t>* bytes, int value) {
  const auto number = static_cast<uint16_t>(std::clamp(value, -kFurthest, kFurthest));
  bytes->push_back(static_cast<uint8_t>(number));
  bytes->push_back(static_cast<uint8_t>(number >> 8));
}

int number_at(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<int16_t>(bytes[at] | bytes[at + 1] << 8);
}

}  // namespace

std::vector<uint8_t> bytes_of_motion(const MouseMotion& motion) {
  std::vector<uint8_t> bytes;
  bytes.reserve(kMotionBytes);
  put_number(&bytes, motion.right);
  put_number(&bytes, motion.up);
  bytes.push_back(static_cast<uint8_t>(std::clamp(motion.wheel, -kMostSteps, kMostSteps)));
  bytes.push_back(motion.buttons);
  return bytes;
}

MouseMotion motion_of_bytes(std::span<const uint8_t> bytes) {
  MouseMotion motion;
  if (bytes.size() != kMotionBytes) return motion;
  motion.right = number_at(bytes, 0);
  motion.up = number_at(bytes, 2);
  motion.wheel = static_cast<int8_t>(bytes[4]);
  motion.buttons = bytes[5] & 7;
  return motion;
}

RemoteInput::RemoteInput(VirtualClock& clock, I8042& keyboard,
                         std::function<void(uint8_t)> on_taken)
    : clock_(clock),
      keyboard_(keyboard),
      on_taken_(std::move(on_taken)),
      timer_(clock, [this](Nanoseconds) { go_on(); }) {}

void RemoteInput::put_keys(uint8_t source, std::span<const uint8_t> codes) {
  waiting_.push_back({source, {codes.begin(), codes.end()}});
  if (waiting_.size() == 1) go_on();
}

void RemoteInput::put_motion(uint8_t source, const MouseMotion& motion) {
  keyboard_.move_mouse(motion);
  on_taken_(source);
}

void RemoteInput::visit_state(StateArchive& archive) {
  constexpr size_t kMost = size_t{1} << 16;
  size_t count = waiting_.size();
  archive.field("waiting", count, 0, kMost);
  if (archive.is_loading()) waiting_.assign(std::min(count, kMost), {});
  for (Keys& keys : waiting_) {
    archive.section("keys", 1, [&] {
      archive.field("source", keys.source);
      archive.list("codes", keys.codes, kMost);
    });
  }
  archive.part("timer", timer_);
}

void RemoteInput::go_on() {
  if (!waiting_.empty() && keyboard_.keys_taken()) {
    const Keys keys = std::move(waiting_.front());
    waiting_.pop_front();
    (void)keyboard_.inject_scancodes(keys.codes);
    on_taken_(keys.source);
  }
  if (!waiting_.empty()) timer_.arm(clock_.now() + kBetweenKeys);
}

}  // namespace ringshift

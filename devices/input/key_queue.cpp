#include "devices/input/key_queue.h"

#include <algorithm>
#include <utility>

namespace ringshift {
namespace {

constexpr Nanoseconds kBetweenLooks = 5'000'000, kPatience = 2'000'000'000;

}  // namespace

KeyQueue::KeyQueue(VirtualClock& clock, I8042& keyboard)
    : clock_(clock), keyboard_(keyboard), timer_(clock, [this](Nanoseconds) { go_on(); }) {}

bool KeyQueue::add(std::vector<uint8_t> codes, Nanoseconds pause) {
  if (steps_.size() >= kMostSteps) return false;
  steps_.push_back({std::move(codes), pause});
  if (steps_.size() == 1) timer_.arm(std::max(clock_.now(), last_ + pause));
  return true;
}

void KeyQueue::go_on() {
  if (steps_.empty()) return;
  const Nanoseconds now = clock_.now();
  if (!keyboard_.keys_taken()) {
    if (waiting_ == 0) waiting_ = now;
    if (now - waiting_ >= kPatience) {
      steps_.clear();
      waiting_ = 0;
      return;
    }
    timer_.arm(now + kBetweenLooks);
    return;
  }
  waiting_ = 0;
  (void)keyboard_.inject_scancodes(steps_.front().codes);
  steps_.pop_front();
  last_ = now;
  if (!steps_.empty()) timer_.arm(now + std::max<Nanoseconds>(steps_.front().pause, 1'000'000));
}

}  // namespace ringshift

#include "devices/host/screen/screen_port.h"

#include <algorithm>
#include <utility>

#include "devices/input/remote_input.h"

namespace ringshift {
namespace {

constexpr int kFurthest = 32767, kMostSteps = 127;

int add(int a, int b, int most) { return std::clamp(a + b, -most, most); }

}  // namespace

void ScreenPort::attach(Inbox& inbox) {
  const std::lock_guard lock(mutex_);
  inbox_ = &inbox;
  on_their_way_ = 0;
  has_late_motion_ = false;
  if (is_asked_) inbox.put({HostInput::Kind::Screen, 0, {}});
}

void ScreenPort::detach() {
  const std::lock_guard lock(mutex_);
  inbox_ = nullptr;
}

void ScreenPort::give(const std::function<void(ScreenContent*)>& capture) {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(is_asked_, false)) return;
  }
  capture(&spare_);
  {
    const std::lock_guard lock(mutex_);
    std::swap(spare_, there_);
    is_there_ = true;
  }
  on_screen_();
}

void ScreenPort::note_input_taken() {
  const std::lock_guard lock(mutex_);
  if (on_their_way_ > 0) --on_their_way_;
  put_late_motion();
}

void ScreenPort::ask() {
  const std::lock_guard lock(mutex_);
  is_asked_ = true;
  if (inbox_ != nullptr) inbox_->put({HostInput::Kind::Screen, 0, {}});
}

bool ScreenPort::take(ScreenContent* content) {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(is_there_, false)) return false;
  std::swap(*content, there_);
  return true;
}

bool ScreenPort::put_keys(std::vector<uint8_t> codes, Loss loss) {
  const std::lock_guard lock(mutex_);
  if (inbox_ == nullptr) return loss == Loss::Forbidden;  // a new machine holds no key
  if (loss == Loss::Allowed && on_their_way_ >= kMostOnTheirWay) return false;
  ++on_their_way_;
  inbox_->put({HostInput::Kind::Keys, source_, std::move(codes)});
  return true;
}

void ScreenPort::put_motion(const MouseMotion& motion) {
  const std::lock_guard lock(mutex_);
  if (inbox_ == nullptr) return;
  late_motion_ = {.right = add(late_motion_.right, motion.right, kFurthest),
                  .up = add(late_motion_.up, motion.up, kFurthest),
                  .wheel = add(late_motion_.wheel, motion.wheel, kMostSteps),
                  .buttons = motion.buttons};
  has_late_motion_ = true;
  put_late_motion();
}

// Pre: the mutex is held.
void ScreenPort::put_late_motion() {
  if (!has_late_motion_ || inbox_ == nullptr || on_their_way_ >= kMostOnTheirWay) return;
  has_late_motion_ = false;
  ++on_their_way_;
  const MouseMotion motion = std::exchange(late_motion_, {});
  inbox_->put({HostInput::Kind::Motion, source_, bytes_of_motion(motion)});
}

}  // namespace ringshift

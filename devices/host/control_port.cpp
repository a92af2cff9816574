#include "devices/host/control_port.h"

#include <algorithm>
#include <utility>

namespace ringshift {

void ControlPort::attach(Inbox& inbox, bool has_power_button) {
  const std::lock_guard lock(mutex_);
  inbox_ = &inbox;
  has_power_button_ = has_power_button;
  input_on_its_way_ = 0;
  if (wants_figures_) inbox.put({HostInput::Kind::Figures, 0, {}});
}

bool ControlPort::has_power_button() {
  const std::lock_guard lock(mutex_);
  return inbox_ != nullptr && has_power_button_;
}

void ControlPort::detach() {
  const std::lock_guard lock(mutex_);
  inbox_ = nullptr;
}

void ControlPort::transmit(uint8_t byte) {
  const std::lock_guard lock(mutex_);
  if (output_.size() == kKeptOutput) output_.pop_front();
  output_.push_back(byte);
  ++said_;
}

void ControlPort::note_input_taken(size_t count) {
  const std::lock_guard lock(mutex_);
  input_on_its_way_ -= std::min(count, input_on_its_way_);
}

void ControlPort::give_figures(const std::function<std::string()>& figures) {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(wants_figures_, false)) return;
  }
  std::string made = figures();
  const std::lock_guard lock(mutex_);
  figures_ = std::move(made);
  has_figures_ = true;
}

bool ControlPort::has_machine() {
  const std::lock_guard lock(mutex_);
  return inbox_ != nullptr;
}

bool ControlPort::wish(HostInput::Kind kind) {
  const std::lock_guard lock(mutex_);
  if (inbox_ == nullptr) return false;
  inbox_->put({kind, 0, {}});
  return true;
}

void ControlPort::type(std::span<const uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  if (inbox_ == nullptr) return;
  const auto taken = bytes.first(std::min(bytes.size(), kMostInput - input_on_its_way_));
  if (taken.empty()) return;
  input_on_its_way_ += taken.size();
  inbox_->put({HostInput::Kind::ConsoleBytes, source_, {taken.begin(), taken.end()}});
}

void ControlPort::ask_figures() {
  const std::lock_guard lock(mutex_);
  wants_figures_ = true;
  if (inbox_ != nullptr) inbox_->put({HostInput::Kind::Figures, 0, {}});
}

bool ControlPort::take_figures(std::string* figures) {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(has_figures_, false)) return false;
  *figures = std::move(figures_);
  return true;
}

std::string ControlPort::output_since(uint64_t* place) {
  const std::lock_guard lock(mutex_);
  const uint64_t first = said_ - output_.size();
  const uint64_t from = std::clamp(*place, first, said_);
  *place = said_;
  return {output_.begin() + static_cast<ptrdiff_t>(from - first), output_.end()};
}

}  // namespace ringshift

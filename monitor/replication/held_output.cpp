#include "monitor/replication/held_output.h"

#include <algorithm>
#include <utility>

namespace ringshift {

HeldOutput::HeldOutput() {
  for (size_t i = 0; i < kPorts; ++i) {
    ports_.at(i).owner = this;
    ports_.at(i).port = static_cast<Port>(i);
  }
}

void HeldOutput::put(Port port, std::span<const uint8_t> bytes) {
  End& end = ports_.at(port);
  end.come += bytes.size();
  if (is_open_) {
    end.left = end.come;
    if (end.sink) end.sink(bytes);
    return;
  }
  const bool is_first = waiting_ == 0;
  end.waiting.append(bytes);
  waiting_ += bytes.size();
  if (end.gone > end.left) forget(left());
  if (is_first && waiting_ != 0 && on_held_) on_held_();
}

HeldOutput::Totals HeldOutput::come() const {
  Totals totals{};
  for (size_t i = 0; i < kPorts; ++i) totals.at(i) = ports_.at(i).come;
  return totals;
}

HeldOutput::Totals HeldOutput::left() const {
  Totals totals{};
  for (size_t i = 0; i < kPorts; ++i) totals.at(i) = ports_.at(i).left;
  return totals;
}

HeldOutput::Totals HeldOutput::shown() const {
  Totals totals{};
  for (size_t i = 0; i < kPorts; ++i) {
    const End& end = ports_.at(i);
    totals.at(i) = end.left - std::min<uint64_t>(end.left, end.unsent ? end.unsent() : 0);
  }
  return totals;
}

void HeldOutput::leave(End& end, size_t count, bool is_shown) {
  if (count == 0) return;
  if (is_shown && end.sink) end.sink(end.waiting.waiting().first(count));
  end.waiting.drop(count);
  end.left += count;
  waiting_ -= count;
}

bool HeldOutput::release(const Totals& up_to) {
  const size_t before = waiting_;
  for (size_t i = 0; i < kPorts; ++i) {
    End& end = ports_.at(i);
    const uint64_t to = std::clamp(up_to.at(i), end.left, end.come);
    leave(end, static_cast<size_t>(to - end.left), true);
  }
  const bool has_left = waiting_ != before;
  if (has_left && flush_) flush_();
  return has_left;
}

void HeldOutput::forget(const Totals& up_to) {
  for (size_t i = 0; i < kPorts; ++i) {
    End& end = ports_.at(i);
    end.gone = std::max(end.gone, up_to.at(i));
    const uint64_t to = std::clamp(end.gone, end.left, end.come);
    leave(end, static_cast<size_t>(to - end.left), false);
  }
}

void HeldOutput::begin_at(const Totals& totals) {
  for (size_t i = 0; i < kPorts; ++i) {
    End& end = ports_.at(i);
    end.come = end.left = end.gone = totals.at(i);
  }
}

void HeldOutput::open() {
  (void)release(come());
  is_open_ = true;
}

}  // namespace ringshift

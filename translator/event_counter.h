// EventCounter: how many events (translator/event_rule.h) the guest has come to, and how many it
// may still pass before somebody looks. The count is an address that walks down by one byte an
// event: translated code loads through it, and the load that finds the budget used up faults, as a
// poll does (docs/decisions/0025-events-are-counted-by-the-poll.md). Owns: the count. Keeps: T9.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ringshift {

class EventCounter {
 public:
  // `walk`: Slots::event_walk, the address that the next event loads from; `origin`:
  // Slots::event_origin, the count plus that address. `floor`: the lowest address that may be
  // loaded from; `most` bytes are readable from there.
  EventCounter(uint64_t* walk, uint64_t* origin, uint64_t floor, uint64_t most)
      : walk_(walk), origin_(origin), floor_(floor), most_(most) {
    *walk_ = *origin_ = floor_ - 1;
  }

  [[nodiscard]] uint64_t count() const { return *origin_ - *walk_; }
  // The next event waits until somebody has looked.
  [[nodiscard]] bool is_due() const { return *walk_ < floor_; }
  // More than the budget has: the next event waits.
  void add(uint64_t events) {
    const uint64_t now = count() + events;
    *walk_ -= std::min(events, left());
    set_count(now);
  }
  // So many more, or fewer if that is more than there is room for. 0: the next one waits.
  void allow(uint64_t events) {
    const uint64_t now = count();
    *walk_ = floor_ + std::min(events, most_) - 1;
    set_count(now);
  }
  // How many may still pass before one waits.
  [[nodiscard]] uint64_t left() const { return is_due() ? 0 : *walk_ - floor_ + 1; }
  // The guest is at another count from now on: it has slept, or has been loaded.
  void set_count(uint64_t count) { *origin_ = count + *walk_; }

 private:
  uint64_t* walk_;
  uint64_t* origin_;
  uint64_t floor_;
  uint64_t most_;
};

}  // namespace ringshift

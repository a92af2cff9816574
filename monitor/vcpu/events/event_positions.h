// EventPositions: the events at which a machine that counts events (translator/event_counter.h)
// looks at its timers and gives the guest its input: an event that the budget ends at, before it is
// counted, or any time while the guest is halted. Everything else that raises an interrupt is an
// instruction of the guest's that the interpreter executes. So the position of each interrupt
// depends on the guest's own progress and on nothing else. Owns: the counter, the budget. Keeps:
// T9. See docs/exact-execution.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "translator/event_counter.h"

namespace ringshift {

class EventPositions {
 public:
  explicit EventPositions(EventCounter counter) : counter_(counter) {}
  EventPositions(const EventPositions&) = delete;
  EventPositions& operator=(const EventPositions&) = delete;

  [[nodiscard]] EventCounter& counter() { return counter_; }

  // Input from outside is to be given to the guest at the next event.
  void request_look() {
    is_look_wanted_ = true;
    aim();
  }
  [[nodiscard]] bool take_look() { return std::exchange(is_look_wanted_, false); }
  // While the guest is halted: there is no event to wait for.
  [[nodiscard]] bool is_look_wanted() const { return is_look_wanted_; }
  // The next timer is due at this count; nothing: there is none.
  void set_deadline(std::optional<uint64_t> count) {
    deadline_ = count;
    aim();
  }
  // A replay has something for the guest at this count; nothing: not before the next timer.
  void set_input_count(std::optional<uint64_t> count) {
    input_count_ = count;
    aim();
  }
  [[nodiscard]] std::optional<uint64_t> input_count() const { return input_count_; }
  // The guest's leader (ExecutionGuide) wants it to come to an event at this count. This changes
  // nothing for the guest.
  void set_guide_count(std::optional<uint64_t> count) {
    guide_count_ = count;
    aim();
  }
  // While the guest is halted: when it goes on at the latest, if it is known.
  [[nodiscard]] std::optional<uint64_t> wakes_at() const {
    if (!deadline_ || !input_count_) return deadline_ ? deadline_ : input_count_;
    return std::min(*deadline_, *input_count_);
  }

  // The guest has come to an event, and the budget is used up.
  void arrive() { has_arrived_ = true; }
  [[nodiscard]] bool has_arrived() const { return has_arrived_; }
  [[nodiscard]] bool take_arrival() { return std::exchange(has_arrived_, false); }
  // The event has been looked at and may be passed, whatever else is due at the same count.
  void go_on() {
    is_look_wanted_ = false;
    aim();
    if (counter_.is_due()) counter_.allow(1);
  }

  // HLT instructions that the guest has executed.
  void note_halt() { ++halts_; }
  [[nodiscard]] uint64_t halts() const { return halts_; }

  // All that a saved machine does not have, for one that goes back to where it was. The deadline is
  // the clock's, whose timers have been armed again before restore().
  struct Moment {
    uint64_t count = 0;
    uint64_t left = 0;  // of the budget
    std::optional<uint64_t> input_count;
    uint64_t halts = 0;
    bool is_look_wanted = false;
    bool has_arrived = false;
  };
  [[nodiscard]] Moment moment() const {
    return {counter_.count(), counter_.left(), input_count_, halts_, is_look_wanted_, has_arrived_};
  }
  void restore(const Moment& moment) {
    guide_count_.reset();
    input_count_ = moment.input_count;
    halts_ = moment.halts;
    is_look_wanted_ = moment.is_look_wanted;
    has_arrived_ = moment.has_arrived;
    counter_.set_count(moment.count);
    counter_.allow(moment.left);
  }

 private:
  void aim() {
    constexpr uint64_t kNever = ~uint64_t{0};
    const uint64_t count = counter_.count();
    const uint64_t end = std::min(
        {deadline_.value_or(kNever), input_count_.value_or(kNever), guide_count_.value_or(kNever)});
    counter_.allow(is_look_wanted_ || end <= count ? 0 : end - count);
  }

  EventCounter counter_;
  std::optional<uint64_t> deadline_;
  std::optional<uint64_t> input_count_;
  std::optional<uint64_t> guide_count_;
  uint64_t halts_ = 0;
  bool is_look_wanted_ = false;
  bool has_arrived_ = false;
};

}  // namespace ringshift

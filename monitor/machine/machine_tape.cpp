// Machine, seventh part: its clock, and what the guest gets from outside where events are counted:
// at an event, noted on a tape or read from one. See docs/exact-execution.md.
#include <utility>

#include "monitor/machine/machine.h"
#include "monitor/machine/state_digest.h"
#include "monitor/replay/input_tape.h"

namespace ringshift {
namespace {

// Of the guest's time. Each costs a hash of RAM.
constexpr Nanoseconds kBetweenMarks = 2'000'000'000;

bool is_for_guest(HostInput::Kind kind) {
  using Kind = HostInput::Kind;
  return kind == Kind::ConsoleBytes || kind == Kind::ConsoleEnd || kind == Kind::Keys ||
         kind == Kind::Motion || kind == Kind::NetworkRoom || kind == Kind::NetworkLink ||
         kind == Kind::NetworkFrames;  // with a tape there is no network
}

bool was_ended_by_guest(StopReason reason) {
  return reason == StopReason::Halted || reason == StopReason::Reset ||
         reason == StopReason::DebugExit || reason == StopReason::Panicked ||
         reason == StopReason::Unimplemented;
}

TapePosition position_of(Machine& machine, const InputTape& tape) {
  EventPositions& events = *machine.processor().events();
  return {.life = tape.life(),
          .events = events.counter().count(),
          .halts = events.halts(),
          .is_halted = machine.state().activity == ActivityState::Halted};
}

TapeMark mark_of(Machine& machine, const InputTape& tape) {
  const StateDigest digest = digest_of(machine, tape.hashes_memory());
  return {.registers = digest.registers, .memory = digest.memory};
}

}  // namespace

bool Machine::make_clock(std::string* error) {
  if (!config_.event_clock.is_used()) {
    clock_ = HostClock::create(error, config_.time);
    return clock_ != nullptr;
  }
  auto clock = std::make_unique<EventClock>(*processor_->events(), config_.event_clock);
  event_clock_ = clock.get();
  clock_ = std::move(clock);
  return true;
}

// A device takes input again.
void Machine::on_room() {
  if (event_clock_ != nullptr) return processor_->events()->request_look();
  attention().raise();
}

// It has gone up: the processor is to look.
void Machine::on_interrupt_line() {
  if (event_clock_ != nullptr) return;  // it does, behind the instruction or the timer that did it
  attention().raise();
}

void Machine::outside_time(const std::function<void()>& action) {
  const Nanoseconds time = HostClock::monotonic();
  const uint64_t ticks = clock_->time_stamp();
  action();
  state().tsc_offset -= clock_->time_stamp() - ticks;
  clock_->leave_out(HostClock::monotonic() - time);
}

void Machine::begin_tape() {
  config_.tape->begin_life();
  tape_timer_ = std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds deadline) {
    mark_tape();
    tape_timer_->arm(deadline + kBetweenMarks);
  });
  tape_timer_->arm(kBetweenMarks);
  processor_->events()->set_input_count(config_.tape->next_count());
}

void Machine::mark_tape() {
  InputTape& tape = *config_.tape;
  tape.mark(position_of(*this, tape), mark_of(*this, tape));
}

void Machine::end_tape(StopReason reason) {
  InputTape& tape = *config_.tape;
  const auto who =
      was_ended_by_guest(reason) ? InputTape::EndedBy::Guest : InputTape::EndedBy::Outside;
  tape.end(position_of(*this, tape), mark_of(*this, tape), who);
}

// True: the guest gets it at the next event.
bool Machine::keep_for_event(const HostInput& input) {
  if (event_clock_ == nullptr || !is_for_guest(input.kind)) return false;
  waiting_for_event_.push_back(input);
  processor_->events()->request_look();
  return true;
}

void Machine::feed_guest() {
  const bool is_looked_for = processor_->events()->take_look();
  InputTape* const tape = config_.tape;
  const std::vector<HostInput> waiting = std::exchange(waiting_for_event_, {});
  if (tape != nullptr && tape->is_replay()) {
    feed_from_tape();
  } else {
    for (const HostInput& input : waiting) {
      if (tape != nullptr) tape->note(position_of(*this, *tape), input);
      give_to_guest(input);
    }
  }
  if (is_looked_for || !waiting.empty()) deliver_input();
}

void Machine::feed_from_tape() {
  InputTape& tape = *config_.tape;
  const TapePosition here = position_of(*this, tape);
  bool has_come = false;
  while (const std::optional<HostInput> input = tape.next_at(here)) {
    give_to_guest(*input);
    has_come = true;
  }
  if (has_come) deliver_input();
  if (tape.wants_stop(here)) processor_->loop().request_stop(StopReason::Quit);
  processor_->events()->set_input_count(tape.next_count());
}

}  // namespace ringshift

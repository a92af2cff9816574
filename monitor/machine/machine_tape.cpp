// Machine, seventh part: its clock, and the guest's inputs from outside if events are counted: at
// an event, noted on a tape or read from one. See docs/exact-execution.md.
#include <cstdio>
#include <utility>

#include "monitor/machine/machine.h"
#include "monitor/machine/state_digest.h"
#include "monitor/replay/input_tape.h"
#include "shadowmmu/base/hash.h"

namespace ringshift {
namespace {

// In the guest's time. Each mark costs a hash of RAM.
constexpr Nanoseconds kBetweenMarks = 2'000'000'000;

bool is_for_guest(HostInput::Kind kind) {
  using Kind = HostInput::Kind;
  return kind == Kind::ConsoleBytes || kind == Kind::ConsoleEnd || kind == Kind::Keys ||
         kind == Kind::Motion || kind == Kind::NetworkRoom || kind == Kind::NetworkLink ||
         kind == Kind::NetworkFrames || kind == Kind::ShareMessages || kind == Kind::ShareRoom ||
         kind == Kind::ShareEnd;
}

// Inputs of the program that controls the machine.
bool is_of_control(HostInput::Kind kind) {
  return kind == HostInput::Kind::Reset || kind == HostInput::Kind::PowerButton;
}

bool was_ended_by_guest(StopReason reason) {
  return reason == StopReason::Halted || reason == StopReason::Reset ||
         reason == StopReason::DebugExit || reason == StopReason::Panicked ||
         reason == StopReason::Unimplemented;
}

TapeMark mark_of(Machine& machine, const InputTape& tape) {
  const StateDigest digest = digest_of(machine, tape.hashes_memory());
  return {.registers = digest.registers, .memory = digest.memory, .output = machine.sent_hash()};
}

}  // namespace

TapePosition Machine::tape_position() const {
  EventPositions& events = *processor_->events();
  return {.life = config_.tape->life(),
          .events = events.counter().count(),
          .halts = events.halts(),
          .is_halted = processor_->state().activity == ActivityState::Halted};
}

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
  if (event_clock_ == nullptr) return attention().raise();
  has_room_news_ = true;
  processor_->events()->request_look();
}

// A replay's network is the tape's part of it; that of a pair's machine has the other half, too.
std::unique_ptr<GuestPackets> Machine::make_network() {
  if (config_.replica == nullptr) {
    if (is_replay()) {
      return std::make_unique<GuestPackets>(NetworkPort::frames_of(config_.network));
    }
    return std::make_unique<NetworkPort>(*config_.network_link, inbox_);
  }
  NetworkPort::Pair pair{.hold =
                             [this](std::span<const uint8_t> frame) {
                               config_.replica->output().put(HeldOutput::Network, frame);
                             },
                         .is_live = !is_replay()};
  auto port = std::make_unique<NetworkPort>(*config_.network_link, inbox_, std::move(pair));
  network_port_ = port.get();
  return port;
}

// A replay's folder is the tape's part of it. Answers to a guest before this one, which the next
// one's device does not know, are not told apart on a tape.
std::unique_ptr<GuestFiles> Machine::make_share() {
  if (is_replay()) return std::make_unique<GuestFiles>();
  auto share = std::make_unique<SharePort>(*config_.share_link, inbox_);
  if (config_.tape != nullptr && share->has_requests()) {
    config_.tape->give_up("the guest was reset while it waited for its shared folder");
  }
  return share;
}

uint64_t Machine::sent_hash() const {
  const uint64_t frames = network_ != nullptr ? network_->sent_hash() : 0;
  return share_ == nullptr ? frames : hash_bytes({}, frames ^ share_->sent_hash());
}

// It has gone up: the processor is to look.
void Machine::on_interrupt_line() {
  if (event_clock_ != nullptr) return;  // it does, behind the instruction or the timer that did it
  attention().raise();
}

void Machine::outside_time(const std::function<void()>& action) {
  if (clock_->is_stopped()) return action();
  clock_->stop();
  action();
  state().tsc_offset -= clock_->go_on();
}

void Machine::begin_tape() {
  config_.tape->begin_life();
  tape_timer_ = std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds deadline) {
    mark_tape();
    tape_timer_->arm(deadline + kBetweenMarks);
  });
  tape_timer_->arm(clock_->now() + kBetweenMarks);  // one that was resumed has run for a while
  processor_->events()->set_input_count(config_.tape->next_count());
}

void Machine::mark_tape() {
  InputTape& tape = *config_.tape;
  tape.mark(tape_position(), mark_of(*this, tape));
}

void Machine::end_tape(StopReason reason) {
  // The backup of a host that has failed takes over.
  if (config_.replica != nullptr && reason == StopReason::HostFailure) return;
  InputTape& tape = *config_.tape;
  const auto who =
      was_ended_by_guest(reason) ? InputTape::EndedBy::Guest : InputTape::EndedBy::Outside;
  tape.end(tape_position(), mark_of(*this, tape), who);
}

// True: the guest gets it at the next event.
bool Machine::keep_for_event(const HostInput& input) {
  const bool is_taped = config_.tape != nullptr && is_of_control(input.kind);
  if (event_clock_ == nullptr || !(is_taped || is_for_guest(input.kind))) return false;
  waiting_for_event_.push_back(input);
  processor_->events()->request_look();
  return true;
}

void Machine::feed_guest() {
  (void)processor_->events()->take_look();
  const bool after_timers = config_.tape != nullptr && fed_at_ == tape_position();
  if (is_replay()) {
    waiting_for_event_.clear();
    feed_from_tape(after_timers);
  } else if (!waiting_for_event_.empty()) {
    feed_from_outside();
  }
  if (config_.tape != nullptr) fed_at_ = tape_position();
  if (config_.replica != nullptr && after_timers) config_.replica->passed(*fed_at_);
  if (std::exchange(has_room_news_, false)) deliver_input();
}

// An input on a tape comes before the timers of its position. If these have been looked at already,
// it waits for the next event.
void Machine::feed_from_outside() {
  InputTape* const tape = config_.tape;
  EventPositions& events = *processor_->events();
  if (tape != nullptr) {
    const TapePosition here = tape_position();
    if (fed_at_ == here) return events.set_input_count(here.events + 1);
    events.set_input_count(std::nullopt);
    for (const HostInput& input : waiting_for_event_) tape->note(here, input);
  }
  for (const HostInput& input : std::exchange(waiting_for_event_, {})) give_to_guest(input);
  deliver_input();
}

void Machine::feed_from_tape(bool after_timers) {
  InputTape& tape = *config_.tape;
  const TapePosition here = tape_position();
  bool has_come = false;
  do {
    while (const std::optional<HostInput> input = tape.next_at(here)) {
      give_to_guest(*input);
      has_come = true;
    }
  } while (config_.replica != nullptr && follow_primary(here, after_timers));
  if (has_come) deliver_input();
  if (tape.wants_stop(here)) {
    const bool is_seen = travel_ != nullptr && !tape.problem().empty();
    if (is_seen) std::fprintf(stderr, "ringshift: %s\n", tape.problem().c_str());
    const bool stands = travel_ != nullptr && travel_->reach_end();
    if (!stands) processor_->loop().request_stop(StopReason::Quit);
  }
  processor_->events()->set_input_count(tape.next_count());
}

}  // namespace ringshift

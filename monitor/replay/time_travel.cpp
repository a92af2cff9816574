#include "monitor/replay/time_travel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "monitor/host/time/host_clock.h"
#include "translator/event_rule.h"

namespace ringshift {
namespace {

// A way of single instructions that began so far from a state begins with one next time.
constexpr Nanoseconds kFar = 5'000'000;

}  // namespace

TimeTravel::TimeTravel(TravelledMachine& machine, ExecutionControl& control,
                       const TravelConfig& config)
    : machine_(machine), control_(control), config_(config), kept_(config.limits) {
  control_.set_guide(this);
}

TimeTravel::~TimeTravel() { control_.set_guide(nullptr); }

void TimeTravel::set_debugger(Read read, std::function<bool()> is_attended) {
  read_ = std::move(read);
  is_attended_ = std::move(is_attended);
}

std::string TimeTravel::text() const {
  return fmt::format("{}; {} states are kept, {} MiB\n", machine_.place().at.text(), kept_.size(),
                     kept_.bytes() >> 20);
}

// ---- states ----

Nanoseconds TimeTravel::work_here() const {
  return like_work_ + std::max<Nanoseconds>(HostClock::thread_time() - like_time_, 0);
}

void TimeTravel::begin() {
  if (kept_.is_empty()) keep();
}

void TimeTravel::keep() {
  if (cannot_keep_) return;
  const Nanoseconds work = work_here();
  const Nanoseconds began = HostClock::thread_time();
  const GuestPlace here = machine_.place();
  std::string error;
  auto moment = machine_.keep_moment(like_.get(), kept_.pages(), &error);
  if (moment == nullptr) {
    cannot_keep_ = true;
    std::fprintf(stderr, "ringshift: no more states are kept to go back to: %s\n", error.c_str());
    return;
  }
  kept_.add({.place = here, .work = work, .moment = moment});
  like_ = std::move(moment);
  like_work_ = work;
  like_time_ = HostClock::thread_time();
  like_events_ = here.at.events;
  keeping_costs_ = like_time_ - began;
}

void TimeTravel::keep_if_due() {
  const Nanoseconds work = work_here() - like_work_;
  if (work < std::max(config_.between_states, keeping_costs_ * config_.times_as_long)) return;
  // One that has been kept on an earlier way will do.
  const uint64_t events = machine_.event_positions().counter().count();
  const KeptStates::Kept* const next = kept_.after(like_events_);
  if (next == nullptr || next->place.at.events > events) return keep();
  const KeptStates::Kept& last = kept_.before(events + 1);
  like_ = last.moment;
  like_work_ = last.work;
  like_time_ = HostClock::thread_time();
  like_events_ = last.place.at.events;
}

bool TimeTravel::load(const KeptStates::Kept& kept) {
  std::string error;
  if (!machine_.go_to_moment(*kept.moment, &error)) {
    goal_ = Goal::None;
    machine_.fail("the replay cannot go back: " + error);
    return false;
  }
  like_ = kept.moment;
  like_work_ = kept.work;
  like_time_ = HostClock::thread_time();
  like_events_ = kept.place.at.events;
  end_.reset();
  return true;
}

// ---- ways ----

void TimeTravel::step_back() { travel(Goal::Before, machine_.place()); }

void TimeTravel::continue_back() { travel(Goal::Point, machine_.place()); }

// From the last state before the target, as fast as can be to where an instruction may bring the
// guest into the stretch of the target; from there on boundary by boundary.
void TimeTravel::travel(Goal goal, const GuestPlace& target) {
  if (kept_.is_empty()) return stand({StopCause::TapeBegin, {}});
  if (target == kept_.first().place) {
    if (goal != Goal::Place) return stand_at_begin();
    if (load(kept_.first())) stand(reason_);
    return;
  }
  const KeptStates::Kept kept = kept_.before(target.at.events);
  if (!load(kept)) return;
  if (target != target_) single_events_ = kEventsOfPortAccess;
  goal_ = goal;
  target_ = target;
  from_ = kept.place;
  last_.reset();
  point_.reset();
  known_.clear();
  for (const WatchedData& watched : control_.watches()) known_[watched] = bytes_of(watched);
  near_count_ = target.at.events - std::min(target.at.events, single_events_);
  is_near_ = machine_.event_positions().counter().count() >= near_count_;
  if (!is_near_) machine_.event_positions().set_guide_count(near_count_);
  control_.lead(is_near_);
}

void TimeTravel::go_to(uint64_t events) {
  const uint64_t here = machine_.event_positions().counter().count();
  const KeptStates::Kept kept = kept_.before(events);
  if (events == 0) return stand_at_begin();
  const bool goes_on = here < events && kept.place.at.events <= here;
  if (!goes_on && !load(kept)) return;
  goal_ = Goal::Count;
  count_ = events;
  machine_.event_positions().set_guide_count(events);
  control_.lead(false);
}

void TimeTravel::stand(const DebugStop& stop) {
  goal_ = Goal::None;
  machine_.event_positions().set_guide_count(std::nullopt);
  control_.end_lead(stop);
}

void TimeTravel::give_up() {
  if (is_travelling()) stand({StopCause::Asked, {}});
}

void TimeTravel::stand_at_begin() {
  if (!load(kept_.first())) return;
  stand({StopCause::TapeBegin, {}});
}

// Instructions that call devices may have brought the guest past the stretch of the target, without
// an event between them: the next time single steps begin earlier.
void TimeTravel::lose_way() {
  constexpr uint64_t kTimesAsFar = 64;
  if (single_events_ < target_.at.events) {
    single_events_ *= kTimesAsFar;
    return travel(goal_, GuestPlace(target_));
  }
  std::fprintf(stderr, "ringshift: the replay has not come by %s again\n",
               target_.at.text().c_str());
  stand({StopCause::Asked, {}});
}

void TimeTravel::lead_singly() {
  if (is_near_) return;
  is_near_ = true;
  machine_.event_positions().set_guide_count(std::nullopt);
  if (work_here() - like_work_ > kFar) keep();
  control_.lead(true);
}

bool TimeTravel::lead() {
  if (goal_ == Goal::Count) return false;
  if (!is_near_) {
    // Asleep it would pass all of it at once.
    const bool sleeps = machine_.is_halted();
    if (!sleeps || machine_.event_positions().wakes_at().value_or(0) < near_count_) return false;
    lead_singly();
  }
  const GuestPlace here = machine_.place();
  if (here == target_) {
    arrive();
    return true;
  }
  if (here.at.events > target_.at.events) {
    lose_way();
    return true;
  }
  last_ = here;
  return false;
}

void TimeTravel::arrive() {
  switch (goal_) {
    case Goal::Before:
      if (!last_) return lose_way();
      reason_ = {StopCause::Step, {}};
      return travel(Goal::Place, GuestPlace(*last_));
    case Goal::Point:
      return arrive_through_stretch();
    case Goal::Place:
      return stand(reason_);
    case Goal::None:
    case Goal::Count:
      return;
  }
}

void TimeTravel::arrive_through_stretch() {
  if (point_) {
    const Point point = *point_;
    reason_ = point.stop;
    return travel(Goal::Place, point.place);
  }
  if (from_ == kept_.first().place) return stand_at_begin();
  travel(Goal::Point, GuestPlace(from_));
}

// ---- called by the loop ----

std::vector<uint8_t> TimeTravel::bytes_of(const WatchedData& watched) const {
  std::vector<uint8_t> bytes(watched.length);
  if (read_) bytes.resize(read_(watched.address, bytes));
  return bytes;
}

void TimeTravel::on_point(const DebugStop& point) {
  if (goal_ != Goal::Point) return;
  if (point.cause != StopCause::Watch) {
    const GuestPlace here = machine_.place();
    if (here != target_) point_ = {point, here};
    return;
  }
  if (point.watched.kind == WatchKind::Write) {
    std::vector<uint8_t> now = bytes_of(point.watched);
    if (known_[point.watched] == now) return;
    known_[point.watched] = std::move(now);
  }
  point_ = {point, instruction_};
}

void TimeTravel::before_instruction() {
  if (goal_ == Goal::Point && !control_.watches().empty()) instruction_ = machine_.place();
}

void TimeTravel::after_event() {
  keep_if_due();
  const uint64_t events = machine_.event_positions().counter().count();
  if (goal_ == Goal::Count && events >= count_) return stand({StopCause::Asked, {}});
  if (goal_ != Goal::None && goal_ != Goal::Count && events >= near_count_) lead_singly();
}

// ---- the end ----

bool TimeTravel::reach_end(StopReason reason) {
  if (!is_attended_ || !is_attended_()) return false;
  end_ = machine_.place();
  end_reason_ = reason;
  stand({StopCause::TapeEnd, {}});
  return true;
}

bool TimeTravel::keeps_from_ending(StopReason reason) {
  switch (reason) {
    case StopReason::Halted:
    case StopReason::Reset:
    case StopReason::DebugExit:
    case StopReason::Panicked:
    case StopReason::Unimplemented:
      break;
    default:  // the outside says so
      return false;
  }
  if (may_end_) return false;
  if (control_.is_standing()) return true;
  // It has been led there.
  const bool has_target = control_.is_leading() && goal_ != Goal::Count;
  if (has_target && machine_.place() == target_) return true;
  return reach_end(reason);
}

// A guest that resets goes on in another life; without a debugger all ends as it would.
bool TimeTravel::is_at_end() {
  if (!end_ || control_.is_leading()) return false;
  if (machine_.place() != *end_) {
    end_.reset();
    return false;
  }
  if (end_reason_ != StopReason::Reset && is_attended_()) return true;
  may_end_ = true;
  machine_.end(end_reason_);
  return false;
}

}  // namespace ringshift

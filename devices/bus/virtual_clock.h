// VirtualClock: the only time a device knows (D2), and the way it asks to be called later. Owns:
// the queue of pending timers (not the timers). Time is nanoseconds since the machine started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <tuple>

namespace ringshift {

class StateArchive;

using Nanoseconds = int64_t;

// No saved machine has run for longer, and no timer of it waits for later: sums stay in range.
inline constexpr Nanoseconds kLongestRun = Nanoseconds{1} << 61;
inline constexpr Nanoseconds kLatestDeadline = kLongestRun + (Nanoseconds{1} << 62);

// Periods of a timer that are over before the guest has heard of them. See docs/time.md.
enum class MissedTicks : uint8_t {
  Usual,   // come one by one, up to a second of them, and merge where the guest has taken none
  MakeUp,  // come one by one, all of them, each when the guest has taken the one before
  Drop,    // are given up
};

// Counts of late ticks by their fate, in this run.
struct LateTicks {
  uint64_t made_up = 0, dropped = 0;
};

class VirtualClock;

// One pending call-back. Destroying it cancels it.
class ClockTimer {
 public:
  // on_due runs on the vCPU thread inside VirtualClock::run_due, with the deadline that was asked
  // for (now() may be later). It may re-arm the timer.
  ClockTimer(VirtualClock& clock, std::function<void(Nanoseconds deadline)> on_due);
  ~ClockTimer();
  ClockTimer(const ClockTimer&) = delete;
  ClockTimer& operator=(const ClockTimer&) = delete;
  void arm(Nanoseconds deadline);  // replaces an earlier deadline
  void cancel();
  [[nodiscard]] bool armed() const { return armed_; }
  [[nodiscard]] Nanoseconds deadline() const { return deadline_; }

  // Armed or not, and for when; timers of one deadline keep their order.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  friend class VirtualClock;
  // Not state: last_pass_: nothing is saved within a pass.
  VirtualClock& clock_;
  std::function<void(Nanoseconds)> on_due_;
  Nanoseconds deadline_ = 0;
  bool armed_ = false;
  uint64_t order_ = 0;      // among timers of the same deadline, the one armed first is first
  uint64_t last_pass_ = 0;  // the run_due pass that called it last
};

class VirtualClock {
 public:
  virtual ~VirtualClock() = default;
  [[nodiscard]] virtual Nanoseconds now() = 0;
  // The earliest deadline, if any timer is armed.
  [[nodiscard]] std::optional<Nanoseconds> next_deadline() const;
  // Each timer is there once at most: as many as the devices have, whatever a guest asks of them.
  [[nodiscard]] size_t armed_timers() const { return queue_.size(); }
  // Calls every timer whose deadline has passed, in order of deadline. Each is called once: a timer
  // that re-arms itself in the past waits for the next pass, so that a late vCPU gets late periods
  // one by one and a device can never keep the caller here.
  void run_due();

  // The policy for periodic timers that are late.
  [[nodiscard]] MissedTicks missed_ticks() const { return missed_ticks_; }
  void set_missed_ticks(MissedTicks missed) { missed_ticks_ = missed; }
  // Timers count here.
  [[nodiscard]] LateTicks& late_ticks() { return late_ticks_; }

  // The time, which goes on from there. Visited before the devices that have timers.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 protected:
  virtual void set_time(Nanoseconds time) = 0;
  // Called whenever next_deadline() may have become earlier.
  virtual void on_deadline_changed() {}

 private:
  friend class ClockTimer;
  void insert(ClockTimer& timer);
  void remove(ClockTimer& timer);
  using Entry = std::tuple<Nanoseconds, uint64_t, ClockTimer*>;
  [[nodiscard]] static Entry entry_of(ClockTimer& timer) {
    return {timer.deadline_, timer.order_, &timer};
  }
  // Not state: queue_, passes_: timers enter by themselves; nothing is saved within a pass.
  // Not state: missed_ticks_, late_ticks_: they are the run's (--time, --stats).
  std::set<Entry> queue_;
  uint64_t passes_ = 0;
  uint64_t armings_ = 0;
  MissedTicks missed_ticks_ = MissedTicks::Usual;
  LateTicks late_ticks_;
};

// A clock that only moves when told, for tests and for deterministic runs.
class ManualClock final : public VirtualClock {
 public:
  [[nodiscard]] Nanoseconds now() override { return now_; }
  // Moves time forward, calling each due timer at its own deadline.
  void advance(Nanoseconds by);

 protected:
  void set_time(Nanoseconds time) override { now_ = time; }

 private:
  Nanoseconds now_ = 0;
};

}  // namespace ringshift

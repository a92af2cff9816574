// EventClock: virtual time as the number of events that the guest has come to, times a constant.
// Only the guest's own progress moves it, so a run that takes nothing from outside repeats to the
// bit. See docs/exact-execution.md.
#pragma once

#include "monitor/host/time/run_clock.h"
#include "monitor/vcpu/events/event_positions.h"

namespace ringshift {

// The clock's course while the guest is halted and a timer is due later.
enum class IdleTime : uint8_t {
  Skip,  // that is now
  Wait,  // the host's clock has to come to it, too
};

struct EventClockConfig {
  uint32_t nanoseconds = 0;  // virtual time of one event; 0: the host's clock is used
  IdleTime idle = IdleTime::Skip;
  // The guest's clock when it begins, in seconds since 1970, UTC: the beginning of 2020.
  int64_t epoch_seconds = 1'577'836'800;

  [[nodiscard]] bool is_used() const { return nanoseconds != 0; }
};

class EventClock final : public RunClock {
 public:
  EventClock(EventPositions& positions, const EventClockConfig& config)
      : positions_(positions), config_(config) {}

  [[nodiscard]] Nanoseconds now() override {
    return static_cast<Nanoseconds>(positions_.counter().count() * config_.nanoseconds);
  }
  [[nodiscard]] timespec host_time_of(Nanoseconds deadline) override;
  [[nodiscard]] IdleTime idle() const { return config_.idle; }
  // The guest has slept until then, which may be past; nothing: for as long as a replay says. Not
  // longer than that either way.
  void sleep_until(std::optional<Nanoseconds> deadline);

  void leave_out(Nanoseconds /*time*/) override {}
  void rearm() override;
  void disarm() override {}
  void stop() override { is_stopped_ = true; }
  uint64_t go_on() override {
    is_stopped_ = false;
    return 0;
  }
  [[nodiscard]] bool is_stopped() const override { return is_stopped_; }
  [[nodiscard]] uint64_t time_stamp() const override { return 0; }

 protected:
  void set_time(Nanoseconds time) override;

 private:
  // The first count at which this time has come.
  [[nodiscard]] uint64_t count_at(Nanoseconds time) const;

  EventPositions& positions_;
  EventClockConfig config_;
  bool is_stopped_ = false;
};

}  // namespace ringshift

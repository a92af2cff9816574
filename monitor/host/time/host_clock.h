// HostClock: RunClock over CLOCK_MONOTONIC, at its rate or another, with a host timer that raises
// attention when due.
// Owns: one POSIX timer that signals the vCPU thread. See docs/devices.md.
#pragma once

#include <ctime>
#include <memory>
#include <string>

#include "monitor/host/time/run_clock.h"
#include "monitor/host/time_policy.h"

namespace ringshift {

class HostClock final : public RunClock {
 public:
  // Signals go to the calling thread (the vCPU's).
  static std::unique_ptr<HostClock> create(std::string* error, const TimePolicy& policy = {});
  ~HostClock() override;
  // The host's CLOCK_MONOTONIC, for measuring.
  [[nodiscard]] static Nanoseconds monotonic();
  // The host's time of day: since the beginning of 1970, UTC.
  [[nodiscard]] static Nanoseconds wall_time();
  // The processor time of this thread, and of a process that is there: nanoseconds. 0: it is not.
  [[nodiscard]] static Nanoseconds thread_time();
  [[nodiscard]] static Nanoseconds process_time(int id);
  // The rate of the host's time-stamp counter, in Hz; measured once, which takes 3 ms.
  [[nodiscard]] static uint64_t time_stamp_rate();
  // A time of the host's clock, for a system call.
  [[nodiscard]] static timespec to_timespec(Nanoseconds time);

  [[nodiscard]] Nanoseconds now() override;
  [[nodiscard]] timespec host_time_of(Nanoseconds deadline) override;
  void leave_out(Nanoseconds time) override;
  void rearm() override;
  void disarm() override;
  void stop() override;
  uint64_t go_on() override;
  [[nodiscard]] bool is_stopped() const override { return stopped_at_ >= 0; }
  [[nodiscard]] bool passes_in_stops() const override { return policy_.passes_in_stops; }
  [[nodiscard]] Nanoseconds stops_passed() const override { return stops_passed_; }
  [[nodiscard]] Nanoseconds guest_time(Nanoseconds host) const override {
    return policy_.scale.to_guest(host);
  }
  [[nodiscard]] uint64_t time_stamp() const override;

 protected:
  void set_time(Nanoseconds time) override;

 private:
  explicit HostClock(const TimePolicy& policy) : policy_(policy) {}
  [[nodiscard]] Nanoseconds host_of(Nanoseconds deadline) const {
    return base_host_ + policy_.scale.to_host(deadline - base_guest_);
  }
  TimePolicy policy_;
  timer_t timer_{};
  bool has_timer_ = false;
  // The guest's time was base_guest_ when the host's was base_host_.
  Nanoseconds base_guest_ = 0;
  Nanoseconds base_host_ = 0;
  Nanoseconds stops_passed_ = 0;
  Nanoseconds armed_for_ = -1;
  Nanoseconds stopped_at_ = -1;  // of the host's clock; negative: it runs
  uint64_t stopped_stamp_ = 0;   // at that instant
};

}  // namespace ringshift

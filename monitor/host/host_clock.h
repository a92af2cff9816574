// HostClock: VirtualClock over CLOCK_MONOTONIC, with a host timer that raises attention when due.
// Owns: one POSIX timer that signals the vCPU thread. See docs/devices.md.
#pragma once

#include <ctime>
#include <memory>
#include <string>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class HostClock final : public VirtualClock {
 public:
  // Signals go to the calling thread (the vCPU's).
  static std::unique_ptr<HostClock> create(std::string* error);
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
  [[nodiscard]] Nanoseconds now() override;
  // A virtual deadline as an absolute CLOCK_MONOTONIC time.
  [[nodiscard]] timespec host_time_of(Nanoseconds deadline) const;

  // This much of the host's time has not passed for the guest: it was not running.
  void leave_out(Nanoseconds time);

  // Aims the host timer at the next deadline; after run_due, because a cancelled deadline leaves
  // the timer aimed too early.
  void rearm();
  // No signal until the next rearm(): the caller sleeps until the deadline by itself.
  void disarm();

  // Between the two time stands still.
  void stop();
  void go_on();
  [[nodiscard]] bool is_stopped() const { return stopped_at_ >= 0; }

 protected:
  void on_deadline_changed() override { rearm(); }
  void set_time(Nanoseconds time) override;

 private:
  HostClock() = default;
  timer_t timer_{};
  bool has_timer_ = false;
  Nanoseconds origin_ = 0;
  Nanoseconds armed_for_ = -1;
  Nanoseconds stopped_at_ = -1;  // of the host's clock; negative: it runs
};

}  // namespace ringshift

// RunClock: the clock that a machine runs by. Its loop keeps timers by it, sleeps by it while the
// guest is halted, and stops it with the guest. HostClock is the host's time; EventClock is the
// guest's own progress. See docs/devices.md.
#pragma once

#include <cstdint>
#include <ctime>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class RunClock : public VirtualClock {
 public:
  // A virtual deadline as an absolute CLOCK_MONOTONIC time.
  [[nodiscard]] virtual timespec host_time_of(Nanoseconds deadline) = 0;

  // This much of the host's time has not passed for the guest: it was not running.
  virtual void leave_out(Nanoseconds time) = 0;

  // Aims at the next deadline; after run_due, because a cancelled deadline leaves the aim too
  // early.
  virtual void rearm() = 0;
  // No signal until the next rearm(): the caller sleeps until the deadline by itself.
  virtual void disarm() = 0;

  // So much of the host's time, as the guest's.
  [[nodiscard]] virtual Nanoseconds guest_time(Nanoseconds host) const { return host; }

  // Between stop() and go_on(), time and time_stamp() stand still, from the same instant and to the
  // same one. If time passes all the same (passes_in_stops()), the guest finds itself that much
  // later.
  virtual void stop() = 0;
  // How far time_stamp() has jumped without the guest's time: the guest's offset to it has to lose
  // as much.
  virtual uint64_t go_on() = 0;
  [[nodiscard]] virtual bool is_stopped() const = 0;
  [[nodiscard]] virtual bool passes_in_stops() const { return false; }
  // How long it has been stopped and told of it, in the host's time.
  [[nodiscard]] virtual Nanoseconds stops_passed() const { return 0; }

  // The count that the guest's time-stamp counter is measured against (GuestState::tsc_offset). A
  // difference of two readings is the time that has passed for the guest between them, unless it
  // was not running.
  [[nodiscard]] virtual uint64_t time_stamp() const = 0;

 protected:
  void on_deadline_changed() override { rearm(); }
};

}  // namespace ringshift

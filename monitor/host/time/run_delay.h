// RunDelay: how long a thread has been ready to run while the host ran something else, as the
// host's scheduler counts it (Linux, Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
// Owns: the open file, which a confined process could not open.
#pragma once

#include <memory>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class RunDelay {
 public:
  // Measures the calling thread. Null: this host does not count it.
  static std::unique_ptr<RunDelay> of_this_thread();
  ~RunDelay();
  RunDelay(const RunDelay&) = delete;
  RunDelay& operator=(const RunDelay&) = delete;

  // Since the thread began; a reading that fails is the one before. From any thread.
  [[nodiscard]] Nanoseconds read();

 private:
  explicit RunDelay(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
  Nanoseconds last_ = 0;
};

// Does the host's time-stamp counter tick at one rate in all of its states (SDM 3B 17.17.1)?
[[nodiscard]] bool host_time_stamp_is_stable();

}  // namespace ringshift

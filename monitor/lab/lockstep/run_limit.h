// RunLimit: ends a run that does not end by itself. Owns: a thread that waits for that long. See
// docs/lab.md.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

// The machine is asked to stop after so many seconds, unless this has gone before.
class RunLimit {
 public:
  RunLimit(Machine& machine, double seconds)
      : thread_([this, &machine, seconds] {
          std::unique_lock lock(mutex_);
          const auto limit = std::chrono::duration<double>(seconds);
          if (!ended_.wait_for(lock, limit, [this] { return is_over_; })) {
            machine.request_stop(StopReason::Quit);
          }
        }) {}
  ~RunLimit() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }
  RunLimit(const RunLimit&) = delete;
  RunLimit& operator=(const RunLimit&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace ringshift::lab

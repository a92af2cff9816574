// HostSampling: notes the calling thread's host PC many times a second, by a timer and a signal of
// its own. Owns: the timer and the noted PCs. The handler notes one number and decides nothing. See
// docs/lab.md, part 8.
#pragma once

#include <signal.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "monitor/host/time/host_clock.h"

namespace ringshift {

class HostSampling {
 public:
  HostSampling() = default;
  ~HostSampling() { stop(); }
  HostSampling(const HostSampling&) = delete;
  HostSampling& operator=(const HostSampling&) = delete;

  // The calling thread is looked at every `period` (of the host's monotonic clock) until stop().
  // One of them at a time for each thread. False with one line in *error.
  [[nodiscard]] bool start(Nanoseconds period, std::string* error);
  void stop();
  // The addresses of host instructions that were about to execute, since the last call; valid until
  // the next one. On the thread that is looked at.
  [[nodiscard]] std::span<const uint64_t> take();
  // There was no room for so many: nobody has taken them.
  [[nodiscard]] uint64_t lost() const { return lost_.load(); }

 private:
  static void on_sample(int signal, siginfo_t* info, void* context);
  void note(uint64_t host_pc);

  static constexpr size_t kRoom = 4096;
  struct Buffer {
    std::array<uint64_t, kRoom> places{};
    std::atomic<size_t> count{0};
  };
  std::array<Buffer, 2> buffers_;
  std::atomic<size_t> active_{0};
  std::atomic<uint64_t> lost_{0};
  bool is_started_ = false;
  timer_t timer_{};
};

}  // namespace ringshift

// HostThread: a thread of ours beside the vCPU's, for work that may block in the host: consoles,
// sockets, disks. It handles no signal but those of its own faults, has a name on the host, and its
// end cannot hang: whatever host call it is in is interrupted until its work returns. Owns: the
// thread, and the descriptor that wakes it. See docs/architecture.md, "Threads".
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace ringshift {

class HostThread {
 public:
  HostThread() = default;
  ~HostThread();
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

  // Runs `work` in a new thread. After EINTR, and after each wake-up, the work looks whether it is
  // still wanted (is_stopping). Throws std::system_error when the host refuses the thread or the
  // descriptor. Pre: none is running. name: at most 15 characters.
  void start(const char* name, std::function<void()> work);
  // Any thread. The work is to return, and is woken to notice.
  void request_stop();
  [[nodiscard]] bool is_stopping() const { return is_stopping_.load(); }
  // Asks for the end of the work and waits for it. Does nothing if there is none.
  void join();
  // The same, and gives up after so long, since work that the host holds where no signal reaches
  // cannot be ended. False: it goes on; the owner must keep this object and everything that the
  // thread uses for ever.
  [[nodiscard]] bool join_within(int milliseconds);
  [[nodiscard]] bool is_running() const { return thread_.joinable() && !has_ended_.load(); }

  // Any thread: the condition that the work waits for may have changed. Does nothing before
  // start(), which finds everything as it is.
  void wake();
  // For the work: readable (poll) from a wake() until take_wake(). Not owned by the caller.
  [[nodiscard]] int wake_descriptor() const { return wake_; }
  void take_wake();

 private:
  int wake_ = -1;  // eventfd
  std::atomic<bool> has_ended_{false};
  std::atomic<bool> is_stopping_{false};
  std::thread thread_;
};

}  // namespace ringshift

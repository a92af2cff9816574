// Attention: the one word that makes the vCPU come back to a safe point, and wakes it when it
// sleeps. Owns: the flag and the semaphore HLT sleeps on. raise() is async-signal-safe and
// thread-safe. See docs/faults-and-exits.md.
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "translator/gate.h"

namespace ringshift {

class Attention {
 public:
  Attention() { sem_init(&wake_, 0, 0); }
  ~Attention() { sem_destroy(&wake_); }
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;

  // Before the first raise(). Null in an interpreter-only machine.
  void set_gate(Gate* gate) { gate_ = gate; }

  // async-signal-safe
  void raise() {
    const bool already_raised = raised_.exchange(true);
    // Translated code polls a page instead of this word; outside it the loop looks here itself.
    if (inside_.load()) interrupt_guest(already_raised);
    if (!already_raised) sem_post(&wake_);
  }
  [[nodiscard]] bool is_raised() const { return raised_.load(std::memory_order_relaxed); }
  // vCPU thread: the reason for coming back is about to be looked into.
  void take() {
    raised_.store(false);
    if (poll_raised_.exchange(false)) gate_->lower_poll();
  }

  // vCPU thread, around guest code: translated, or in the given process. enter() is false if
  // attention is already wanted. A raise between the check and the first poll finds inside_ set and
  // protects the page, or interrupts the process; an interruption stays pending until the process
  // runs.
  [[nodiscard]] bool enter(pid_t process = 0) {
    if (process_.load(std::memory_order_relaxed) != process) process_.store(process);
    if (process != 0) tracer_.store(pthread_self());
    inside_.store(true);
    if (!raised_.load()) return true;
    inside_.store(false);
    return false;
  }
  // A raise on another thread may still find inside_ set and protect the page for nothing; one on
  // this thread finds it as stored here.
  void leave() { inside_.store(false, std::memory_order_release); }

  // vCPU thread: sleeps until raise() or the deadline (CLOCK_MONOTONIC, absolute; null: no end).
  void sleep_until(const timespec* deadline) {
    while (!is_raised()) {
      const int result =
          deadline == nullptr ? sem_wait(&wake_) : sem_clockwait(&wake_, CLOCK_MONOTONIC, deadline);
      if (result != 0 && errno == ETIMEDOUT) return;
    }
  }
  // Posts of raises that no sleep consumed would end the next sleeps early, harmlessly, but they
  // must not pile up.
  void drain_wakeups() {
    while (sem_trywait(&wake_) == 0) {
    }
  }

 private:
  // async-signal-safe
  void interrupt_guest(bool already_raised) {
    if (const pid_t process = process_.load(); process != 0) {
      interrupt_process(process, already_raised);
    } else if (!already_raised && gate_ != nullptr) {
      poll_raised_.store(true);
      gate_->raise_poll();
      // If take() has come between, it has lowered the page before it was raised, and nobody would
      // lower it again: each poll would fault, for no reason that anybody finds. So it is wanted
      // anew.
      poll_raised_.store(true);
      raised_.store(true);
    }
  }

  void interrupt_process(pid_t process, bool already_raised);

  std::atomic<bool> raised_{false};
  std::atomic<pid_t> process_{0};    // where guest code runs, if not in ours
  std::atomic<pthread_t> tracer_{};  // the thread that may stop that process
  std::atomic<bool> inside_{false};
  std::atomic<bool> poll_raised_{false};
  Gate* gate_ = nullptr;
  sem_t wake_{};
};

static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<pid_t>::is_always_lock_free,
              "raise() runs in signal handlers");

}  // namespace ringshift

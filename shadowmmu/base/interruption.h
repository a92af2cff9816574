// Interruption: a signal that does nothing but make a blocking host call return EINTR, and the
// signal mask of our helper threads. A loop that repeats a call after EINTR asks first whether it
// is still wanted. See docs/faults-and-exits.md.
#pragma once

#include <signal.h>

namespace ringshift {

// Sent again and again until the thread has noticed: one may come just before the call begins.
[[nodiscard]] int interruption_signal();
// Installs the signal's handler, for the whole process. False: the host refuses.
[[nodiscard]] bool install_interruption();

// A thread made while this lives handles no signals but those of its own faults, which give the
// terminal back like any other thread's: a new thread inherits the mask of its maker.
class QuietThreads {
 public:
  QuietThreads();
  ~QuietThreads();
  QuietThreads(const QuietThreads&) = delete;
  QuietThreads& operator=(const QuietThreads&) = delete;

 private:
  sigset_t before_{};
};

// For a thread made so that may block in the host for as long as somebody else likes.
void allow_interruption();

}  // namespace ringshift

#include "shadowmmu/base/interruption.h"

#include <initializer_list>

namespace ringshift {

int interruption_signal() { return SIGRTMIN + 2; }

bool install_interruption() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_ONSTACK;  // no SA_RESTART: that is the point of it
  return sigaction(interruption_signal(), &action, nullptr) == 0;
}

QuietThreads::QuietThreads() {
  sigset_t quiet;
  sigfillset(&quiet);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&quiet, fault);
  }
  pthread_sigmask(SIG_SETMASK, &quiet, &before_);
}

QuietThreads::~QuietThreads() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void allow_interruption() {
  sigset_t interruption;
  sigemptyset(&interruption);
  sigaddset(&interruption, interruption_signal());
  pthread_sigmask(SIG_UNBLOCK, &interruption, nullptr);
}

}  // namespace ringshift

#include "monitor/manager/machines/signal_inlet.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace ringshift::manager {

SignalInlet::~SignalInlet() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool SignalInlet::open(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return false;
  descriptor_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return descriptor_ >= 0;
}

int SignalInlet::take() {
  signalfd_siginfo info{};
  if (read(descriptor_, &info, sizeof(info)) != sizeof(info)) return 0;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace ringshift::manager

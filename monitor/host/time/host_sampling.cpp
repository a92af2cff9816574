#include "monitor/host/time/host_sampling.h"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringshift {
namespace {

// Beside those of attention and interruption.
int sampling_signal() { return SIGRTMIN + 3; }

constinit thread_local HostSampling* t_sampling = nullptr;

}  // namespace

// async-signal-safe
void HostSampling::on_sample(int, siginfo_t*, void* context) {
  const auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  if (t_sampling != nullptr) t_sampling->note(static_cast<uint64_t>(machine.gregs[REG_RIP]));
}

// async-signal-safe
void HostSampling::note(uint64_t host_pc) {
  Buffer& buffer = buffers_[active_.load(std::memory_order_relaxed)];
  const size_t count = buffer.count.load(std::memory_order_relaxed);
  if (count == kRoom) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  buffer.places[count] = host_pc;
  buffer.count.store(count + 1, std::memory_order_relaxed);
}

bool HostSampling::start(Nanoseconds period, std::string* error) {
  struct sigaction action {};
  action.sa_sigaction = on_sample;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = sampling_signal();
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (sigaction(sampling_signal(), &action, nullptr) != 0 ||
      timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
    *error = std::string("cannot create the timer: ") + std::strerror(errno);
    return false;
  }
  is_started_ = true;
  t_sampling = this;
  itimerspec often{};
  often.it_value.tv_nsec = often.it_interval.tv_nsec = period;
  timer_settime(timer_, 0, &often, nullptr);
  return true;
}

void HostSampling::stop() {
  if (!is_started_) return;
  is_started_ = false;
  timer_delete(timer_);
  t_sampling = nullptr;  // a last signal may still be on its way: it finds nobody
}

std::span<const uint64_t> HostSampling::take() {
  const size_t full = active_.load();
  Buffer& next = buffers_[1 - full];
  next.count.store(0);
  active_.store(1 - full);
  return std::span(buffers_[full].places).first(buffers_[full].count.load());
}

}  // namespace ringshift

#include "shadowmmu/base/host_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

constexpr int kSecond = 1000;  // milliseconds

}  // namespace

HostThread::~HostThread() {
  join();
  if (wake_ >= 0) close(wake_);
}

void HostThread::start(const char* name, std::function<void()> work) {
  CHECK(!thread_.joinable());
  if (!install_interruption()) {
    throw std::system_error(errno, std::generic_category(), "sigaction");
  }
  if (wake_ < 0) wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  has_ended_.store(false);
  is_stopping_.store(false);
  const QuietThreads quiet;  // the new thread inherits the mask
  thread_ = std::thread([this, name, work = std::move(work)] {
    pthread_setname_np(pthread_self(), name);
    allow_interruption();
    work();
    has_ended_.store(true);
  });
}

void HostThread::request_stop() {
  is_stopping_.store(true);
  wake();
}

void HostThread::join() {
  while (!join_within(kSecond)) {
  }
}

bool HostThread::join_within(int milliseconds) {
  if (!thread_.joinable()) return true;
  request_stop();
  constexpr int kBetweenTriesMilliseconds = 1;
  // A single interruption may come just before the call that it is meant for.
  for (; !has_ended_.load(); milliseconds -= kBetweenTriesMilliseconds) {
    if (milliseconds <= 0) return false;
    pthread_kill(thread_.native_handle(), interruption_signal());
    (void)poll(nullptr, 0, kBetweenTriesMilliseconds);
  }
  thread_.join();
  return true;
}

void HostThread::wake() {
  if (wake_ >= 0) eventfd_write(wake_, 1);
}

void HostThread::take_wake() {
  eventfd_t ignored = 0;
  eventfd_read(wake_, &ignored);
}

}  // namespace ringshift

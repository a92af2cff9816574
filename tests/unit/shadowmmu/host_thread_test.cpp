// HostThread: its end cannot hang, whatever the host does, and it takes no signal of the process.
#include "shadowmmu/base/host_thread.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "shadowmmu/base/interruption.h"

namespace ringshift {
namespace {

class HostThreadTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(pipe(ends_.data()), 0); }
  void TearDown() override {
    for (const int end : ends_) close(end);
  }
  // Reads a pipe that nobody writes to until it is no longer wanted.
  void block() {
    is_inside_.store(true);
    char byte = 0;
    while (wanted_.load()) {
      if (read(ends_[0], &byte, 1) < 0 && errno == EINTR) ++interruptions_;
    }
  }
  void wait_until_inside() {
    while (!is_inside_.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  std::array<int, 2> ends_{};
  std::atomic<bool> wanted_{true};
  std::atomic<bool> is_inside_{false};
  std::atomic<int> interruptions_{0};
};

TEST_F(HostThreadTest, DoesItsWork) {
  HostThread thread;
  std::atomic<int> done{0};
  EXPECT_FALSE(thread.is_running());
  thread.start("one", [&done] { done = 1; });
  thread.join();
  EXPECT_EQ(done, 1);
  EXPECT_FALSE(thread.is_running());
  thread.join();  // once more: nothing
  thread.start("two", [&done] { done = 2; });
  thread.join();
  EXPECT_EQ(done, 2);
}

TEST_F(HostThreadTest, EndsAlthoughItIsBlockedInTheHost) {
  HostThread thread;
  thread.start("blocked", [this] { block(); });
  wait_until_inside();
  EXPECT_TRUE(thread.is_running());
  wanted_.store(false);
  thread.join();
  EXPECT_GE(interruptions_, 1);
}

TEST_F(HostThreadTest, ItsDestructionWaitsForItsEnd) {
  std::atomic<bool> ended{false};
  {
    HostThread thread;
    thread.start("blocked", [this, &ended] {
      block();
      ended.store(true);
    });
    wait_until_inside();
    wanted_.store(false);
  }
  EXPECT_TRUE(ended);
}

TEST_F(HostThreadTest, LeavesTheSignalsOfTheProcessToOthers) {
  HostThread thread;
  sigset_t mask;
  thread.start("masked", [&mask] { pthread_sigmask(SIG_SETMASK, nullptr, &mask); });
  thread.join();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP}) {
    EXPECT_EQ(sigismember(&mask, signal), 1) << signal;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, interruption_signal()}) {
    EXPECT_EQ(sigismember(&mask, signal), 0) << signal;
  }
}

// Waits for nothing but to be woken, and says how often it was.
TEST_F(HostThreadTest, IsWokenAndAskedToStop) {
  HostThread thread;
  std::atomic<int> woken{0};
  thread.wake();  // nobody is there yet
  thread.start("woken", [&] {
    while (!thread.is_stopping()) {
      pollfd waiting{thread.wake_descriptor(), POLLIN, 0};
      if (poll(&waiting, 1, -1) <= 0) continue;
      thread.take_wake();
      ++woken;
    }
  });
  thread.wake();
  while (woken < 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  thread.wake();
  while (woken < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  thread.request_stop();
  while (thread.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(woken, 3);
  thread.join();
}

TEST_F(HostThreadTest, HasItsNameOnTheHost) {
  HostThread thread;
  std::array<char, 16> name{};
  thread.start("ringshift-test",
               [&name] { pthread_getname_np(pthread_self(), name.data(), name.size()); });
  thread.join();
  EXPECT_STREQ(name.data(), "ringshift-test");
}

}  // namespace
}  // namespace ringshift

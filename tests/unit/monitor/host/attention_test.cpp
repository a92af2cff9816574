// Attention: after a raise has been looked into, nothing of it is left, from any thread and at any
// time.
#include "monitor/host/attention.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

class AttentionTest : public testing::Test {
 protected:
  AttentionTest() {
    EXPECT_EQ(pipe(pipe_.data()), 0);
    attention_.set_gate(machine_.gate.get());
  }
  ~AttentionTest() override {
    for (const int end : pipe_) close(end);
  }
  // Would a poll of translated code go on? Asked of the host's kernel, which does not fault.
  [[nodiscard]] bool poll_goes_on() {
    char byte = 0;
    const bool is_read = write(pipe_[1], machine_.gate->frame().poll_page.data(), 1) == 1;
    if (is_read) {
      EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
    }
    return is_read;
  }

  TranslatorMachine machine_;
  std::array<int, 2> pipe_{};
  Attention attention_;
};

TEST_F(AttentionTest, RaisedInsideMakesPollsFaultUntilItIsTaken) {
  ASSERT_TRUE(attention_.enter());
  attention_.raise();
  EXPECT_TRUE(attention_.is_raised());
  EXPECT_FALSE(poll_goes_on());
  attention_.leave();
  attention_.take();
  EXPECT_FALSE(attention_.is_raised());
  EXPECT_TRUE(poll_goes_on());
}

TEST_F(AttentionTest, RaisedOutsideKeepsTheGuestOut) {
  attention_.raise();
  EXPECT_TRUE(poll_goes_on());
  EXPECT_FALSE(attention_.enter());
  attention_.take();
  EXPECT_TRUE(attention_.enter());
}

// Another thread raises while this one is coming back by itself and takes: the page must not stay
// raised with nobody who knows of it.
TEST_F(AttentionTest, ARaiseThatIsTakenInTheMiddleLeavesNothing) {
  constexpr int kTurns = 5000;
  std::atomic<int> begun{0};
  std::atomic<int> done{0};
  std::thread raiser([&] {
    for (int turn = 1; turn <= kTurns; ++turn) {
      while (begun.load() < turn) std::this_thread::yield();
      attention_.raise();
      done.store(turn);
    }
  });
  int stuck = 0;
  for (int turn = 1; turn <= kTurns; ++turn) {
    const bool is_inside = attention_.enter();
    EXPECT_TRUE(is_inside);
    begun.store(turn);
    while (!attention_.is_raised()) {
    }
    attention_.leave();
    attention_.take();
    while (done.load() < turn) std::this_thread::yield();
    if (attention_.is_raised()) attention_.take();
    stuck += poll_goes_on() ? 0 : 1;
    attention_.drain_wakeups();
    machine_.gate->lower_poll();
  }
  raiser.join();
  EXPECT_EQ(stuck, 0);
}

}  // namespace
}  // namespace ringshift

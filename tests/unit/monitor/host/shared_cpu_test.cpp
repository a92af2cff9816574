// SharedCpu: the threads that share are tied for a time after a hand-over that was free, and get
// back the CPUs that they had.
#include "monitor/host/shared_cpu.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ringshift {
namespace {

cpu_set_t affinity_of(pid_t id) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(id, sizeof set, &set), 0);
  return set;
}

// A child that waits for its end stands for the process that runs user code.
class SharedCpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (CPU_COUNT(&before_) < 2) GTEST_SKIP() << "one CPU";
    child_ = fork();
    ASSERT_GE(child_, 0);
    placement_.confine = [this](const cpu_set_t& set) {
      return sched_setaffinity(child_, sizeof set, &set) == 0;
    };
    if (child_ == 0) {
      for (;;) pause();
    }
  }
  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    sched_setaffinity(0, sizeof before_, &before_);
  }
  // A free hand-over, then the one that ties, at times 0 and 1.
  void tie(SharedCpu* shared) {
    shared->before_handing_over(&placement_, 0);
    shared->before_handing_over(&placement_, 1);
    ASSERT_TRUE(shared->is_tied());
  }
  void expect_untied() {
    const cpu_set_t here = affinity_of(0);
    EXPECT_TRUE(CPU_EQUAL(&here, &before_));
  }

  cpu_set_t before_ = affinity_of(0);
  pid_t child_ = -1;
  CpuPlacement placement_;
};

TEST_F(SharedCpuTest, TheFirstHandOverIsFreeAndTheNextIsTied) {
  SharedCpu shared;
  shared.before_handing_over(&placement_, 0);
  expect_untied();
  shared.before_handing_over(&placement_, 1);
  ASSERT_TRUE(shared.is_tied());
  const cpu_set_t here = affinity_of(0);
  const cpu_set_t there = affinity_of(child_);
  EXPECT_EQ(CPU_COUNT(&here), 1);
  EXPECT_TRUE(CPU_EQUAL(&here, &there));
}

TEST_F(SharedCpuTest, ATieEndsWithTimeAndThenOneHandOverIsFreeAgain) {
  SharedCpu shared;
  ASSERT_NO_FATAL_FAILURE(tie(&shared));
  shared.while_alone(SharedCpu::kTiedCycles);
  EXPECT_TRUE(shared.is_tied());
  shared.before_handing_over(&placement_, SharedCpu::kTiedCycles + 2);
  EXPECT_FALSE(shared.is_tied());
  expect_untied();
  const cpu_set_t there = affinity_of(child_);
  EXPECT_TRUE(CPU_EQUAL(&there, &before_));
  shared.before_handing_over(&placement_, SharedCpu::kTiedCycles + 3);
  EXPECT_TRUE(shared.is_tied());
}

TEST_F(SharedCpuTest, AThreadAloneIsLetGo) {
  SharedCpu shared;
  ASSERT_NO_FATAL_FAILURE(tie(&shared));
  shared.while_alone(SharedCpu::kTiedCycles + 2);
  EXPECT_FALSE(shared.is_tied());
  expect_untied();
}

TEST_F(SharedCpuTest, ItsEndUntiesTheThread) {
  {
    SharedCpu shared;
    ASSERT_NO_FATAL_FAILURE(tie(&shared));
  }
  expect_untied();
}

TEST_F(SharedCpuTest, ASetGivenFromOutsideStands) {
  SharedCpu shared;
  ASSERT_NO_FATAL_FAILURE(tie(&shared));
  const cpu_set_t tied = affinity_of(0);
  cpu_set_t given;
  CPU_ZERO(&given);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before_) && !CPU_ISSET(cpu, &tied)) {
      CPU_SET(cpu, &given);
      break;
    }
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof given, &given), 0);
  shared.while_alone(SharedCpu::kTiedCycles + 2);
  EXPECT_FALSE(shared.is_tied());
  const cpu_set_t here = affinity_of(0);
  EXPECT_TRUE(CPU_EQUAL(&here, &given));
  // One CPU is nothing to choose from: no ties from now on.
  shared.before_handing_over(&placement_, SharedCpu::kTiedCycles + 3);
  shared.before_handing_over(&placement_, SharedCpu::kTiedCycles + 4);
  EXPECT_FALSE(shared.is_tied());
}

TEST_F(SharedCpuTest, AProcessThatIsGoneIsNoTrouble) {
  SharedCpu shared;
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  shared.before_handing_over(&placement_, 0);
  shared.before_handing_over(&placement_, 1);
  EXPECT_TRUE(shared.is_tied());
  EXPECT_EQ(placement_.cpu, -1);
  child_ = -1;
}

}  // namespace
}  // namespace ringshift

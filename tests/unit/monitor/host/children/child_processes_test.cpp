#include "monitor/host/children/child_processes.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace ringshift {
namespace {

bool is_listed(int process) {
  const std::vector<int> children = child_processes();
  return std::find(children.begin(), children.end(), process) != children.end();
}

TEST(ChildProcesses, HasAChildUntilItWasWaitedFor) {
  if (access("/proc/thread-self/children", R_OK) != 0) GTEST_SKIP() << "this host has no list";
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ASSERT_GT(child, 0);
  EXPECT_TRUE(is_listed(child));
  EXPECT_FALSE(is_listed(getpid()));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_listed(child));
}

TEST(ChildProcesses, KnowsItsKeeperByNumber) {
  unsetenv(kKeeperVariable);
  EXPECT_FALSE(keeper_process());
  setenv(kKeeperVariable, std::to_string(getppid()).c_str(), 1);
  EXPECT_EQ(keeper_process(), getppid());
  setenv(kKeeperVariable, std::to_string(getpid()).c_str(), 1);
  EXPECT_FALSE(keeper_process()) << "the number of somebody else";
  unsetenv(kKeeperVariable);
}

TEST(ChildProcesses, HasNobodyWhereThereIsNoList) {
  EXPECT_TRUE(child_processes("/no/such/file").empty());
}

}  // namespace
}  // namespace ringshift

#include "monitor/host/time/run_delay.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace ringshift {
namespace {

TEST(RunDelay, IsWhatTheHostSaysOfThisThread) {
  const std::unique_ptr<RunDelay> delay = RunDelay::of_this_thread();
  std::FILE* file = std::fopen("/proc/thread-self/schedstat", "re");
  ASSERT_EQ(delay != nullptr, file != nullptr);
  if (file == nullptr) GTEST_SKIP() << "this host does not count it";
  const Nanoseconds before = delay->read();
  unsigned long long ran = 0, waited = 0;
  EXPECT_EQ(std::fscanf(file, "%llu %llu", &ran, &waited), 2);
  std::fclose(file);
  EXPECT_LE(before, static_cast<Nanoseconds>(waited));
  EXPECT_GE(delay->read(), static_cast<Nanoseconds>(waited));
}

}  // namespace
}  // namespace ringshift

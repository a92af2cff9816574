// Sampling: the calling thread is found where it is, and nobody after the end.
#include "monitor/host/time/host_sampling.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

constexpr Nanoseconds kPeriod = 50'000;

// Computes for a while; not inlined, so that its address is its own.
[[gnu::noinline]] void compute(Nanoseconds time) {
  const Nanoseconds end = HostClock::monotonic() + time;
  volatile uint64_t sum = 0;
  while (HostClock::monotonic() < end) {
    for (int i = 0; i < 100'000; ++i) sum = sum + 1;
  }
}

TEST(HostSampling, FindsTheThreadAtWork) {
  HostSampling sampling;
  std::string error;
  ASSERT_TRUE(sampling.start(kPeriod, &error)) << error;
  compute(50'000'000);
  const std::span<const uint64_t> places = sampling.take();
  const auto begin = reinterpret_cast<uint64_t>(&compute);
  constexpr uint64_t kMostBytes = 4096;
  size_t found = 0;
  for (const uint64_t place : places) found += place - begin < kMostBytes ? 1 : 0;
  EXPECT_GT(found, 0U);
  sampling.stop();
  (void)sampling.take();
  compute(1'000'000);
  EXPECT_TRUE(sampling.take().empty());
  EXPECT_EQ(sampling.lost(), 0U);
}

TEST(HostSampling, CountsWhatNobodyTakes) {
  HostSampling sampling;
  std::string error;
  ASSERT_TRUE(sampling.start(10'000, &error)) << error;
  const Nanoseconds end = HostClock::monotonic() + 5'000'000'000;
  while (sampling.lost() == 0 && HostClock::monotonic() < end) compute(1'000'000);
  EXPECT_GT(sampling.lost(), 0U);
  EXPECT_LE(sampling.take().size(), 4096U);
}

}  // namespace
}  // namespace ringshift

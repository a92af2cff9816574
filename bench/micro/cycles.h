// Cycles: processor time of the timed part of a benchmark, in cycles, divided by what was done in
// it. Owns: a start and a sum. Processor time and not RDTSC, which would count what other processes
// do meanwhile. A cycle is one of the TSC, whatever the core's clock. start and stop together cost
// some half a microsecond.
#pragma once

#include <benchmark/benchmark.h>
#include <time.h>
#include <x86intrin.h>

#include <cstdint>
#include <string>

namespace ringshift {

inline double nanoseconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

inline double tsc_cycles_per_nanosecond() {
  static const double rate = [] {
    constexpr double kLongEnough = 50e6;
    const double begin = nanoseconds_of(CLOCK_MONOTONIC);
    const uint64_t first = __rdtsc();
    double passed = 0;
    while (passed < kLongEnough) passed = nanoseconds_of(CLOCK_MONOTONIC) - begin;
    return static_cast<double>(__rdtsc() - first) / passed;
  }();
  return rate;
}

class Cycles {
 public:
  void start() { started_ = nanoseconds_of(CLOCK_THREAD_CPUTIME_ID); }
  void stop() { sum_ += nanoseconds_of(CLOCK_THREAD_CPUTIME_ID) - started_; }
  void report(benchmark::State& state, const std::string& name, uint64_t done) const {
    if (done == 0) return;
    state.counters[name] = sum_ * tsc_cycles_per_nanosecond() / static_cast<double>(done);
  }

 private:
  double started_ = 0;
  double sum_ = 0;
};

}  // namespace ringshift

// Cycles: host time-stamp cycles of the timed part of a benchmark, divided by what was done in it.
// Owns: a start and a sum. Called by: the benchmarks.
// TSC cycles are not core cycles: the TSC runs at one rate whatever the core does.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <cstdint>
#include <string>

namespace ringshift {

class Cycles {
 public:
  void start() { started_ = __rdtsc(); }
  void stop() { sum_ += __rdtsc() - started_; }
  void report(benchmark::State& state, const std::string& name, uint64_t done) const {
    if (done != 0) state.counters[name] = static_cast<double>(sum_) / static_cast<double>(done);
  }

 private:
  uint64_t started_ = 0;
  uint64_t sum_ = 0;
};

}  // namespace ringshift

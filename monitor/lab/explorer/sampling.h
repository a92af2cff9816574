// Sampling: finds out in which code a guest spends its time. The vCPU thread is looked at every 50
// us, and its host PC is traced back to a guest instruction. A processor that is interrupted shows
// the instruction it has got to, which may be the one after the one that took the time. See
// docs/lab.md.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "monitor/host/time/host_sampling.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

struct Samples {
  uint64_t all = 0;       // these four add up to it
  uint64_t in_code = 0;   // of fragments
  uint64_t in_stubs = 0;  // code that all fragments share: soft accesses, jump table
  uint64_t outside = 0;  // interpreter, devices, sleep, translating; in a followed run the follower
  uint64_t untold = 0;   // the code was gone before it was looked up
  uint64_t cycles = 0;   // of the host's time-stamp counter, while it was looked at
  uint32_t runs = 0;     // of its own; 0: the run that was followed was looked at
  std::unordered_map<uint64_t, uint64_t> by_instruction;  // by place_of()
  // The cycles that one sample stands for.
  [[nodiscard]] double cycles_each() const {
    return all == 0 ? 0 : static_cast<double>(cycles) / static_cast<double>(all);
  }
  // The guest's samples: all of them, but for a follower's part.
  [[nodiscard]] uint64_t of_guest() const { return runs == 0 ? in_code + in_stubs : all; }
};

[[nodiscard]] inline uint64_t place_of(uint32_t eip, Privilege privilege) {
  return (static_cast<uint64_t>(privilege) << 32) | eip;
}

// Looks at a machine's thread, and looks samples up while the code they lie in is still there.
class SampleTaker {
 public:
  explicit SampleTaker(Samples* out) : out_(out) {}
  // Call on the machine's thread. False with one line in *error.
  [[nodiscard]] bool start(Machine* machine, std::string* error);
  [[nodiscard]] bool is_started() const { return machine_ != nullptr; }
  void look_up();
  void stop();

 private:
  void look_up(uint64_t host_pc);

  Samples* out_;
  Machine* machine_ = nullptr;
  HostSampling sampling_;
  uint64_t began_ = 0;
};

struct SamplingSpan {
  Nanoseconds from = 0, to = 0;  // of the guest's time
};

// Runs a guest that ends by itself anew, not followed: once, and then until there are some thousand
// samples or two seconds have passed. False with one line in *error.
[[nodiscard]] bool sample_runs(const MachineConfig& config, const SamplingSpan& span, Samples* out,
                               std::string* error);

}  // namespace ringshift::lab

// Lockstep: a machine under any engine, compared with a Follower wherever its loop comes by.
// Owns: the recorder and the follower. Called by: lab three, lab trap; vcpu as its observer.
// A boundary agrees if all general and control registers, segments and defined flags do; RAM is
// compared from time to time. See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "monitor/execution_observer.h"
#include "monitor/lab/follower.h"

namespace ringshift::lab {

struct Difference {
  bool found = false;
  bool gave_up = false;      // the next boundary is too far away to be followed: no verdict on it
  uint64_t instruction = 0;  // how many the follower had executed at the last agreement
  uint32_t from_eip = 0;     // there
  uint32_t to_eip = 0;       // where the other is
  std::string what;          // registers and control that are unlike
  std::vector<std::string> path;      // the last instructions before the comparison failed
  std::vector<std::string> suspects;  // sensitive instructions on the way from there
};

inline constexpr size_t kTreatments = static_cast<size_t>(Treatment::Interpret) + 1;

struct LockstepFigures {
  uint64_t boundaries = 0;    // compared
  uint64_t instructions = 0;  // executed by the follower
  std::array<uint64_t, kTreatments> by_treatment{};
  uint64_t interpreted = 0;  // by the leader
  uint64_t interrupts = 0;
  uint64_t ram_comparisons = 0;
  uint64_t accessed_dirty_words = 0;  // unlike in accessed and dirty bits only
  uint64_t undefined_flags = 0;       // boundaries with flags unlike that the manual leaves open
  std::map<std::string, uint64_t> guest_faults;  // "#GP at CPL 3"
};

class Lockstep final : public ExecutionObserver {
 public:
  // ram_every: instructions between comparisons of RAM; seconds: when to end.
  Lockstep(uint64_t ram_every, double seconds) : ram_every_(ram_every), seconds_(seconds) {}
  [[nodiscard]] bool attach(Machine* leader, std::string* error);
  // The leader comes by at every instruction from now on (or not): a step is an instruction, and
  // what a sensitive one stores is compared at once.
  void set_single(bool single) { single_ = single; }
  // A boundary the loop does not tell of by itself.
  void at_boundary(const GuestState& state) { catch_up(state); }
  // When the leader has stopped.
  void finish();

  void before_interpreted(const GuestState& state) override;
  void after_interpreted(const GuestState& state) override;
  void before_interrupt(const Event& event, const GuestState& state) override;
  void on_guest_fault(const GuestFault& fault, const GuestState& state) override;

  [[nodiscard]] const Difference& difference() const { return difference_; }
  [[nodiscard]] const LockstepFigures& figures() const { return figures_; }
  [[nodiscard]] uint64_t port_accesses() const { return recorder_.port_accesses(); }
  [[nodiscard]] Follower& follower() { return *follower_; }

 private:
  void catch_up(const GuestState& state);
  [[nodiscard]] bool agrees(const GuestState& state);
  void compare_ram();
  [[nodiscard]] std::string stack_difference(const GuestState& state);
  void diverge(const GuestState& state, std::string what);
  void stop_when_due();

  uint64_t ram_every_;
  double seconds_;
  Machine* leader_ = nullptr;
  int64_t started_ = 0;
  Recorder recorder_;
  std::unique_ptr<Follower> follower_;
  bool must_step_ = false;
  std::array<uint32_t, 4> last_eips_{};
  bool single_ = false;
  uint64_t next_ram_ = 0;
  Difference difference_;
  LockstepFigures figures_;
};

}  // namespace ringshift::lab

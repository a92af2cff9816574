// Lockstep: a machine under any engine, compared with a Follower at each turn of its loop. Owns:
// the recorder and the follower. A boundary agrees if all general and control registers, segments
// and defined flags do, and the pages that the follower has written since the last one; RAM as a
// whole is compared from time to time. See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/lab/lockstep/follower.h"
#include "monitor/lab/parts/sensitive.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/vcpu/execution_observer.h"

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

// An instruction for which the guest was given a fault.
struct Refusal {
  uint32_t eip = 0;
  uint32_t address = 0;  // of the first page fault there
  std::string fault;     // "#GP at CPL 3"
  std::string tried;     // the instruction
  uint64_t count = 0;
};

struct LockstepFigures {
  uint64_t boundaries = 0;    // compared
  uint64_t instructions = 0;  // executed by the follower
  ByTreatment by_treatment{};
  uint64_t interpreted = 0;  // by the leader
  uint64_t interrupts = 0;
  uint64_t ram_comparisons = 0;
  uint64_t accessed_dirty_words = 0;  // unlike in accessed and dirty bits only
  uint64_t undefined_flags = 0;       // boundaries with flags unlike that the manual leaves open
  uint64_t resume_flags = 0;          // boundaries where RF had been dropped
  uint64_t user_instructions = 0;     // at CPL 3, of those the follower executed
  uint64_t longest_way = 0;           // instructions between two comparisons
  bool began = false;                 // there was something to compare
  bool time_was_up = false;           // the end came from the clock, while following
  uint32_t first_eip = 0;             // where the follower began
  uint32_t last_eip = 0;              // the last boundary that agreed, and its ring
  uint8_t last_cpl = 0;
  double seconds = 0;                            // both of them
  std::map<std::string, uint64_t> guest_faults;  // "#GP at CPL 3"
  std::vector<Refusal> refusals;                 // by instruction, the first to come
};

// Registers and control of `right` that are unlike, but for some flags.
[[nodiscard]] std::vector<std::string> differences(const GuestState& left, const GuestState& right,
                                                   uint32_t ignored_flags);

struct LockstepOptions {
  uint64_t ram_every = 5'000'000;  // instructions between comparisons of RAM
  double seconds = 20;             // of our time: then it ends, in the middle of a way too
  bool keeps_way = false;          // name_first() will be called
  double skip = 0;                 // seconds of the guest's time that are not followed
  // Called for each instruction before the follower executes it; null for code that is not 32-bit.
  std::function<void(const GuestState&, const FollowedInstruction*)> on_instruction = nullptr;
  // Longest guest time between two comparisons. 0: compare only at the loop's own events.
  Nanoseconds come_by = 0;
};

// "#GP at CPL 3"
[[nodiscard]] std::string fault_name(const GuestFault& fault, const GuestState& state);

class Lockstep final : public ExecutionObserver {
 public:
  explicit Lockstep(const LockstepOptions& options) : options_(options) {}
  [[nodiscard]] bool attach(Machine* leader, std::string* error);
  // From now on the leader's loop turns at every instruction (or not): a step is an instruction.
  void set_single(bool single) { single_ = single; }
  // A boundary the loop does not tell of by itself.
  void at_boundary(const GuestState& state) { catch_up(state); }
  // When the leader has stopped.
  void finish();
  // For the trap engine, after a difference: replays the last stretch and names the first
  // instruction that behaved differently. The processor executes each sensitive instruction of the
  // stretch from the right state.
  void name_first();

  void before_interpreted(const GuestState& state) override;
  void after_interpreted(const GuestState& state) override;
  void before_interrupt(const Event& event, const GuestState& state) override;
  void on_guest_fault(const GuestFault& fault, const GuestState& state) override;

  [[nodiscard]] const Difference& difference() const { return difference_; }
  [[nodiscard]] const LockstepFigures& figures() const { return figures_; }
  [[nodiscard]] uint64_t port_accesses() const { return recorder_.port_accesses(); }
  [[nodiscard]] Follower& follower() { return *follower_; }

 private:
  [[nodiscard]] bool begin(std::string* error);
  void on_clock(Nanoseconds deadline);
  // Is there a follower, and nothing found yet?
  [[nodiscard]] bool follows() const {
    return follower_ != nullptr && !difference_.found && !difference_.gave_up &&
           !figures_.time_was_up;
  }
  void catch_up(const GuestState& state);
  void follow_to(const GuestState& state);
  void note_way(uint64_t way, const GuestState& state);
  [[nodiscard]] bool step_once(const GuestState& state, std::string* nearest);
  [[nodiscard]] bool must_end(const GuestState& state, uint64_t way, const std::string& nearest);
  [[nodiscard]] double passed() const;
  [[nodiscard]] bool agrees(const GuestState& state, std::string* nearest);
  void compare_ram();
  [[nodiscard]] std::optional<GuestPhysical> unlike_word(GuestPhysicalPage page,
                                                         uint64_t* accessed_dirty);
  [[nodiscard]] std::string words_at(GuestPhysical word);
  void diverge(const GuestState& state, std::string what);
  void stop_when_due();
  void note_refusal(const GuestFault& fault, const GuestState& state);

  LockstepOptions options_;
  Machine* leader_ = nullptr;
  Nanoseconds started_ = 0;
  std::unique_ptr<ClockTimer> timer_;  // between attach and finish
  Recorder recorder_;
  std::unique_ptr<Follower> follower_;
  bool must_step_ = false;
  std::array<uint32_t, 4> last_eips_{};
  bool single_ = false;
  uint64_t next_ram_ = 0;
  Difference difference_;
  LockstepFigures figures_;
};

// A machine of this configuration with `lockstep` attached, its serial port in `serial`. Both
// outlive it. Null with one line in *error.
[[nodiscard]] std::unique_ptr<Machine> make_followed(const MachineConfig& config,
                                                     const SerialCapture& serial,
                                                     Lockstep* lockstep, std::string* error);

}  // namespace ringshift::lab

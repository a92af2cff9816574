// TimeTravel: takes a replayed machine back. It keeps states while the replay goes on. To go back
// it loads an earlier state and goes forward to the place; to find the last point it goes through
// the stretches from one state to the next, the latest first. Owns: the states, where it is going.
// vCPU thread only. See docs/debugging-backwards.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "monitor/replay/guest_place.h"
#include "monitor/replay/kept_states.h"
#include "monitor/vcpu/execution_control.h"
#include "monitor/vcpu/execution_guide.h"

namespace ringshift {

// The machine as its time traveller sees it.
class TravelledMachine {
 public:
  virtual ~TravelledMachine() = default;
  [[nodiscard]] virtual GuestPlace place() const = 0;
  [[nodiscard]] virtual bool is_halted() const = 0;
  [[nodiscard]] virtual EventPositions& event_positions() = 0;
  // like: a state of about here; null: there is none. Null with one line in *error: it cannot be
  // kept.
  [[nodiscard]] virtual std::shared_ptr<const MachineMoment> keep_moment(const MachineMoment* like,
                                                                         const PageCount& pages,
                                                                         std::string* error) = 0;
  // False with one line in *error: the machine is of no use any more.
  [[nodiscard]] virtual bool go_to_moment(const MachineMoment& moment, std::string* error) = 0;
  // The run ends with this line.
  virtual void fail(const std::string& problem) = 0;
  // The run ends after all, as it has wanted to.
  virtual void end(StopReason reason) = 0;
};

struct TravelConfig {
  KeptStates::Limits limits;
  // The processor time between two kept states, at least; and at least how many times as long as
  // keeping one takes.
  Nanoseconds between_states = 50'000'000;
  Nanoseconds times_as_long = 20;
};

class TimeTravel final : public ExecutionGuide {
 public:
  // Outlived by both.
  TimeTravel(TravelledMachine& machine, ExecutionControl& control, const TravelConfig& config);
  ~TimeTravel() override;
  TimeTravel(const TimeTravel&) = delete;
  TimeTravel& operator=(const TimeTravel&) = delete;

  // Sets a function that reads linear memory without a trace, and one that says whether a user
  // would see the guest stopped at the end.
  using Read = std::function<size_t(GuestVirtual, std::span<uint8_t>)>;
  void set_debugger(Read read, std::function<bool()> is_attended);

  // ---- for debuggers; the guest stands. It stands again, with a reason, when it has arrived. ----
  // To before the last instruction, or the last event that was delivered.
  void step_back();
  // Goes to the last point before here: a breakpoint, or before the instruction that touched
  // watched data (for writes: that changed them).
  void continue_back();
  // Goes to the first position with so many events behind it, in this life of the guest.
  void go_to(uint64_t events);
  // The guest stands wherever it has come to.
  void give_up();
  [[nodiscard]] bool is_travelling() const { return goal_ != Goal::None; }
  [[nodiscard]] std::string text() const;

  // A replay's tape has no more, or its guest has ended. False: nobody is there to go back.
  [[nodiscard]] bool reach_end(StopReason reason = StopReason::Quit);

  // ExecutionGuide
  void begin() override;
  [[nodiscard]] bool lead() override;
  void on_point(const DebugStop& point) override;
  void before_instruction() override;
  void after_event() override;
  [[nodiscard]] bool keeps_from_ending(StopReason reason) override;
  [[nodiscard]] bool is_at_end() override;

 private:
  enum class Goal : uint8_t {
    None,
    Before,  // before the target, which is not known yet
    Point,   // the last point before the target
    Place,   // the target
    Count,   // a count of events
  };
  struct Point {
    DebugStop stop;
    GuestPlace place;
  };

  void keep();
  void keep_if_due();
  [[nodiscard]] bool load(const KeptStates::Kept& kept);
  void travel(Goal goal, const GuestPlace& target);
  void stand(const DebugStop& stop);
  void arrive();
  void arrive_through_stretch();
  void stand_at_begin();
  void lose_way();
  void lead_singly();
  [[nodiscard]] Nanoseconds work_here() const;
  [[nodiscard]] std::vector<uint8_t> bytes_of(const WatchedData& watched) const;

  TravelledMachine& machine_;
  ExecutionControl& control_;
  TravelConfig config_;
  KeptStates kept_;
  Read read_;
  std::function<bool()> is_attended_;

  Goal goal_ = Goal::None;
  bool is_near_ = false;  // the way is gone instruction by instruction
  GuestPlace target_;
  uint64_t count_ = 0;              // Goal::Count
  uint64_t single_events_ = 1;      // of the target's last events, gone instruction by instruction
  uint64_t near_count_ = 0;         // from where on it is near
  DebugStop reason_;                // Goal::Place: why it stands there
  GuestPlace from_;                 // where this way began
  std::optional<GuestPlace> last_;  // the last boundary that it has passed, near
  std::optional<Point> point_;      // the last one on this way
  GuestPlace instruction_;          // before the one that the interpreter executes
  std::map<WatchedData, std::vector<uint8_t>> known_;  // the bytes last seen there
  std::optional<GuestPlace> end_;                      // of the tape, or of the guest
  StopReason end_reason_ = StopReason::Quit;           // Quit: of the tape
  bool may_end_ = false;  // somebody has let the guest go on from there

  bool cannot_keep_ = false;
  std::shared_ptr<const MachineMoment> like_;  // the state last kept or loaded
  Nanoseconds like_work_ = 0;                  // KeptStates::Kept::work of it
  Nanoseconds like_time_ = 0;                  // of the thread, then
  uint64_t like_events_ = 0;
  Nanoseconds keeping_costs_ = 0;
};

}  // namespace ringshift

// TimeTravel: the search for earlier events, over a guest that only counts.
#include "monitor/replay/time_travel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

namespace ringshift {
namespace {

constexpr uint32_t kBetweenEvents = 5;  // instructions

// Instruction n lies at address n; each fifth is an event. Some write to one watched place: what is
// there is the number of writes that have changed it.
class CountingGuest final : public TravelledMachine {
 public:
  explicit CountingGuest(const TravelConfig& config) : travel(*this, control, config) {
    travel.set_debugger(
        [this](GuestVirtual, std::span<uint8_t> bytes) {
          std::memcpy(bytes.data(), &value_, bytes.size());
          return bytes.size();
        },
        [] { return true; });
    positions_.go_on();
  }

  [[nodiscard]] GuestPlace place() const override {
    GuestPlace place;
    place.at.events = positions_.counter_count();
    place.eip = place.code = at_;
    return place;
  }
  [[nodiscard]] bool is_halted() const override { return false; }
  [[nodiscard]] EventPositions& event_positions() override { return positions_.positions; }
  [[nodiscard]] std::shared_ptr<const MachineMoment> keep_moment(const MachineMoment* /*like*/,
                                                                 const PageCount& /*pages*/,
                                                                 std::string* /*error*/) override {
    auto moment = std::make_shared<MachineMoment>();
    moment->state.resize(2 * sizeof(uint32_t));
    std::memcpy(moment->state.data(), &at_, sizeof at_);
    std::memcpy(moment->state.data() + sizeof at_, &value_, sizeof value_);
    moment->events = positions_.positions.moment();
    return moment;
  }
  [[nodiscard]] bool go_to_moment(const MachineMoment& moment, std::string* /*error*/) override {
    std::memcpy(&at_, moment.state.data(), sizeof at_);
    std::memcpy(&value_, moment.state.data() + sizeof at_, sizeof value_);
    positions_.positions.restore(moment.events);
    ++loads;
    return true;
  }
  void fail(const std::string& problem) override { ADD_FAILURE() << problem; }
  void end(StopReason /*reason*/) override { ADD_FAILURE() << "it has ended"; }

  // As the loop does it, until the guest stands.
  void run() {
    travel.begin();
    while (!control.is_standing()) {
      if (control.stop_if_touched()) continue;
      if (control.is_leading() && travel.lead()) continue;
      if (control.stops_at(GuestVirtual(at_))) continue;
      execute();
      ++executed;
      ASSERT_LT(executed, 10'000'000U);
    }
    control.note_paused_at(GuestVirtual(at_));
  }
  // Forward, until it stands there.
  void run_to(uint32_t instruction) {
    ASSERT_TRUE(control.insert_breakpoint(GuestVirtual(instruction), Kind::Hardware));
    control.resume();
    run();
    control.remove_breakpoint(GuestVirtual(instruction), Kind::Hardware);
    ASSERT_EQ(at_, instruction);
  }
  [[nodiscard]] uint32_t at() const { return at_; }
  [[nodiscard]] StopCause cause() const { return control.last_stop().cause; }

  using Kind = ExecutionControl::BreakpointKind;
  ExecutionControl control;
  TimeTravel travel;
  std::set<uint32_t> writers;    // change it
  std::set<uint32_t> rewriters;  // write what is there
  unsigned loads = 0;
  uint64_t executed = 0;

 private:
  struct Positions {
    uint64_t walk = 0;
    uint64_t origin = 0;
    EventPositions positions{EventCounter(&walk, &origin, 0x100000, 0x40000)};
    [[nodiscard]] uint64_t counter_count() const {
      return const_cast<EventPositions&>(positions).counter().count();
    }
    void go_on() { positions.set_deadline(std::nullopt); }
  };

  void execute() {
    if (control.is_leading()) travel.before_instruction();
    if (at_ % kBetweenEvents == 0) {
      if (positions_.positions.counter().is_due()) {
        positions_.positions.go_on();
        travel.after_event();
        return;
      }
      positions_.positions.counter().add(1);
    }
    const bool changes = writers.contains(at_);
    const bool writes = changes || rewriters.contains(at_);
    if (changes) ++value_;
    ++at_;
    DataWatcher* const watcher = control.watcher();
    if (writes && watcher != nullptr) {
      watcher->on_data_access(GuestVirtual(kWatched), 4, AccessKind::Write);
    }
    control.after(ExecutionControl::Progress::Executed);
  }

  uint32_t at_ = 1;
  uint32_t value_ = 0;
  Positions positions_;

 public:
  static constexpr uint32_t kWatched = 0x9000;
};

// Few states, or one at each look.
class Travel : public testing::TestWithParam<Nanoseconds> {
 protected:
  CountingGuest guest{{.limits = {.states = 12, .bytes = uint64_t{1} << 20},
                       .between_states = GetParam(),
                       .times_as_long = 0}};

  void watch() {
    ASSERT_TRUE(
        guest.control.insert_watch({GuestVirtual(CountingGuest::kWatched), 4, WatchKind::Write}));
  }
  void back() {
    guest.travel.continue_back();
    guest.run();
  }
};

INSTANTIATE_TEST_SUITE_P(States, Travel, testing::Values(Nanoseconds{1} << 60, Nanoseconds{0}));

TEST_P(Travel, EachStepBackIsOneInstruction) {
  guest.run_to(5000);
  for (uint32_t wanted = 4999; wanted > 4950; --wanted) {
    guest.travel.step_back();
    guest.run();
    ASSERT_EQ(guest.at(), wanted);
    ASSERT_EQ(guest.cause(), StopCause::Step);
  }
  guest.control.step();
  guest.run();
  EXPECT_EQ(guest.at(), 4952U);
}

TEST_P(Travel, TheLastBreakpointBeforeIsFound) {
  guest.run_to(5000);
  for (const uint32_t point : {100U, 3000U, 3003U, 6000U}) {
    ASSERT_TRUE(
        guest.control.insert_breakpoint(GuestVirtual(point), CountingGuest::Kind::Software));
  }
  for (const uint32_t wanted : {3003U, 3000U, 100U}) {
    back();
    EXPECT_EQ(guest.at(), wanted);
    EXPECT_EQ(guest.cause(), StopCause::Breakpoint);
  }
  back();
  EXPECT_EQ(guest.at(), 1U);
  EXPECT_EQ(guest.cause(), StopCause::TapeBegin);
  back();
  EXPECT_EQ(guest.cause(), StopCause::TapeBegin);
}

TEST_P(Travel, TheLastChangeIsFoundAndItStandsBeforeIt) {
  guest.writers = {10, 2500, 2501};
  guest.rewriters = {2600, 4999};
  guest.run_to(5000);
  watch();
  for (const uint32_t wanted : {2501U, 2500U, 10U}) {
    back();
    EXPECT_EQ(guest.at(), wanted);
    EXPECT_EQ(guest.cause(), StopCause::Watch);
  }
  back();
  EXPECT_EQ(guest.cause(), StopCause::TapeBegin);
}

TEST_P(Travel, ACountOfEventsIsFoundInEitherDirection) {
  guest.run_to(5000);
  for (const uint64_t events : {100U, 900U, 50U}) {
    guest.travel.go_to(events);
    guest.run();
    EXPECT_EQ(guest.place().at.events, events);
    EXPECT_FALSE(guest.travel.is_travelling());
  }
  guest.travel.go_to(0);
  EXPECT_EQ(guest.at(), 1U);
}

TEST_P(Travel, WhoGivesUpStandsWhereItIs) {
  guest.run_to(5000);
  guest.travel.step_back();
  EXPECT_TRUE(guest.travel.is_travelling());
  guest.travel.give_up();
  EXPECT_TRUE(guest.control.is_standing());
  EXPECT_EQ(guest.cause(), StopCause::Asked);
}

TEST_P(Travel, TheEndIsAPlaceToGoBackFrom) {
  guest.run_to(5000);
  guest.control.resume();
  ASSERT_TRUE(guest.travel.keeps_from_ending(StopReason::DebugExit));
  EXPECT_EQ(guest.cause(), StopCause::TapeEnd);
  guest.control.resume();
  EXPECT_TRUE(guest.travel.is_at_end());
  guest.travel.step_back();
  guest.run();
  EXPECT_EQ(guest.at(), 4999U);
  EXPECT_FALSE(guest.travel.is_at_end());
  EXPECT_FALSE(guest.travel.keeps_from_ending(StopReason::Quit));
}

TEST(TravelStates, AStateShortensTheWay) {
  CountingGuest guest({.limits = {}, .between_states = 0, .times_as_long = 0});
  guest.run_to(5000);
  guest.travel.go_to(990);  // a look, and so a state
  guest.run();
  guest.run_to(5000);
  guest.executed = 0;
  guest.travel.step_back();
  guest.run();
  EXPECT_LT(guest.executed, 700U);
}

}  // namespace
}  // namespace ringshift

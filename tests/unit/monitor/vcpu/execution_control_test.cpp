// ExecutionControl: when the guest stops, and when it is in nobody's way.
#include "monitor/vcpu/execution_control.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

using Kind = ExecutionControl::BreakpointKind;
constexpr GuestVirtual kHere(0xc0100000);
constexpr GuestVirtual kThere(0xc0100010);

class Control : public ::testing::Test {
 protected:
  void executes(bool faulted = false) {
    using Progress = ExecutionControl::Progress;
    control_.after(faulted ? Progress::Faulted : Progress::Executed);
  }
  // The guest has been let go at this address.
  void go_on_at(GuestVirtual linear) {
    control_.pause(StopCause::Asked);
    control_.note_paused_at(linear);
    control_.resume();
  }
  ExecutionControl control_;
};

TEST_F(Control, NobodyIsAskedWhileNothingIsWanted) {
  EXPECT_FALSE(control_.is_engaged());
  EXPECT_FALSE(control_.has_points());
  EXPECT_FALSE(control_.stops_at(kHere));
  EXPECT_EQ(control_.watcher(), nullptr);
}

TEST_F(Control, ABreakpointPausesWhereItIs) {
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Software));
  EXPECT_TRUE(control_.is_engaged());
  EXPECT_FALSE(control_.stops_at(kThere));
  EXPECT_TRUE(control_.stops_at(kHere));
  EXPECT_TRUE(control_.is_paused());
  EXPECT_EQ(control_.last_stop().cause, StopCause::Breakpoint);
}

TEST_F(Control, TheInstructionItWasStoppedAtIsExecutedOnce) {
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Hardware));
  ASSERT_TRUE(control_.stops_at(kHere));
  go_on_at(kHere);
  EXPECT_TRUE(control_.holds_interrupts(kHere));
  EXPECT_FALSE(control_.stops_at(kHere));
  EXPECT_TRUE(control_.is_interpreted(kHere));
  executes();
  EXPECT_FALSE(control_.holds_interrupts(kHere));
  EXPECT_TRUE(control_.stops_at(kHere));
  EXPECT_EQ(control_.last_stop().cause, StopCause::HardwareBreakpoint);
}

TEST_F(Control, AHoldOutlastsADebuggersPauses) {
  control_.hold();
  EXPECT_TRUE(control_.is_engaged());
  EXPECT_TRUE(control_.is_standing());
  EXPECT_FALSE(control_.is_paused());
  control_.pause(StopCause::Asked);
  control_.resume();
  EXPECT_TRUE(control_.is_standing());
  control_.step();  // which is executed all the same
  EXPECT_FALSE(control_.is_standing());
  executes();
  EXPECT_TRUE(control_.is_paused());
  control_.release();
  EXPECT_TRUE(control_.is_standing());
  control_.resume();
  EXPECT_FALSE(control_.is_standing());
}

TEST_F(Control, WhoMovesTheGuestToABreakpointIsStoppedThere) {
  ASSERT_TRUE(control_.insert_breakpoint(kThere, Kind::Software));
  go_on_at(kHere);
  EXPECT_TRUE(control_.stops_at(kThere));
}

TEST_F(Control, AStepEndsAfterOneInstructionOrOneEvent) {
  control_.step();
  EXPECT_TRUE(control_.is_interpreted(kHere));
  executes();
  EXPECT_TRUE(control_.is_paused());
  EXPECT_EQ(control_.last_stop().cause, StopCause::Step);
  control_.step();
  control_.after(ExecutionControl::Progress::Event);
  EXPECT_TRUE(control_.is_paused());
}

TEST_F(Control, WatchedDataStopsAfterTheInstructionThatTouchesIt) {
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x1000), 4, WatchKind::Write}));
  ASSERT_EQ(control_.watcher(), &control_);
  control_.watcher()->on_data_access(GuestVirtual(0x1000), 4, AccessKind::Read);
  control_.watcher()->on_data_access(GuestVirtual(0x1004), 4, AccessKind::Write);
  control_.watcher()->on_data_access(GuestVirtual(0xffe), 2, AccessKind::Write);
  executes();
  EXPECT_FALSE(control_.stop_if_touched());
  control_.watcher()->on_data_access(GuestVirtual(0xffe), 3, AccessKind::Write);
  EXPECT_TRUE(control_.is_touched());
  EXPECT_FALSE(control_.is_paused());
  executes();
  EXPECT_TRUE(control_.stop_if_touched());
  EXPECT_TRUE(control_.is_paused());
  EXPECT_EQ(control_.last_stop().cause, StopCause::Watch);
  EXPECT_EQ(control_.last_stop().watched.address, GuestVirtual(0x1000U));
  EXPECT_FALSE(control_.stop_if_touched());
}

TEST_F(Control, AStepThatTouchesWatchedDataIsReportedAsThat) {
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x1000), 4, WatchKind::Write}));
  control_.step();
  control_.watcher()->on_data_access(GuestVirtual(0x1000), 4, AccessKind::Write);
  executes();
  EXPECT_TRUE(control_.stop_if_touched());
  EXPECT_EQ(control_.last_stop().cause, StopCause::Watch);
}

TEST_F(Control, AnAccessOfAnInstructionThatFaultedIsNone) {
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x1000), 4, WatchKind::Access}));
  control_.watcher()->on_data_access(GuestVirtual(0x1000), 4, AccessKind::Write);
  executes(true);
  EXPECT_FALSE(control_.stop_if_touched());
}

TEST_F(Control, AWatchAtTheEndOfTheAddressSpaceIsNoWatchAtItsBeginning) {
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0xfffffffc), 8, WatchKind::Write}));
  const WatchedBytes at_the_end{GuestVirtual(0xfffffffc), GuestVirtual(0xffffffff)};
  EXPECT_EQ(control_.watched_pages(), (LinearPages{{GuestVirtualPage(0xfffff), at_the_end}}));
  control_.remove_all();
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0xfffffffc), 4, WatchKind::Write}));
  control_.watcher()->on_data_access(GuestVirtual(0), 4, AccessKind::Write);
  EXPECT_FALSE(control_.is_touched());
}

TEST_F(Control, WatchedPagesAreThoseOfAllWatchedData) {
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x1ffe), 4, WatchKind::Read}));
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x2000), 4, WatchKind::Write}));
  const WatchedBytes in_both{GuestVirtual(0x2000), GuestVirtual(0x2003)};
  EXPECT_EQ(control_.watched_pages(),
            (LinearPages{{GuestVirtualPage(1), {GuestVirtual(0x1ffe), GuestVirtual(0x1fff)}},
                         {GuestVirtualPage(2), in_both}}));
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x2800), 1, WatchKind::Write}));
  EXPECT_EQ(control_.watched_pages().at(GuestVirtualPage(2)).last, GuestVirtual(0x2800));
  control_.remove_watch({GuestVirtual(0x2800), 1, WatchKind::Write});
  control_.remove_watch({GuestVirtual(0x1ffe), 4, WatchKind::Read});
  EXPECT_EQ(control_.watched_pages(), (LinearPages{{GuestVirtualPage(2), in_both}}));
  EXPECT_TRUE(control_.take_change());
  EXPECT_FALSE(control_.take_change());
}

TEST_F(Control, CodeIsDroppedOnceHoweverOftenADebuggerTakesItsBreakpointsOut) {
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Software));
  EXPECT_EQ(control_.take_change(), std::vector<GuestVirtual>{kHere});
  control_.remove_breakpoint(kHere, Kind::Software);
  EXPECT_FALSE(control_.stops_at(kHere));
  EXPECT_TRUE(control_.is_interpreted(kHere));
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Software));
  EXPECT_TRUE(control_.take_change().value_or(std::vector<GuestVirtual>{}).empty());
}

TEST_F(Control, WhatIsKeptOutIsBounded) {
  for (uint32_t i = 0; i < 20000; ++i) {
    ASSERT_TRUE(control_.insert_breakpoint(GuestVirtual(i), Kind::Software));
    control_.remove_breakpoint(GuestVirtual(i), Kind::Software);
    (void)control_.take_change();
  }
  EXPECT_LT(control_.kept_out().size(), 5000U);
}

TEST_F(Control, WithEverythingRemovedNobodyIsAsked) {
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Software));
  ASSERT_TRUE(control_.insert_watch({GuestVirtual(0x1000), 4, WatchKind::Read}));
  control_.remove_all();
  EXPECT_TRUE(control_.is_engaged());  // to undo what was done for them
  EXPECT_TRUE(control_.take_change());
  EXPECT_FALSE(control_.is_engaged());
  EXPECT_TRUE(control_.kept_out().empty());
}

class Guide final : public ExecutionGuide {
 public:
  void begin() override {}
  [[nodiscard]] bool lead() override { return false; }
  void on_point(const DebugStop& point) override { points.push_back(point.cause); }
  void before_instruction() override {}
  void after_event() override {}
  [[nodiscard]] bool keeps_from_ending(StopReason /*reason*/) override { return false; }
  [[nodiscard]] bool is_at_end() override { return false; }

  std::vector<StopCause> points;
};

TEST_F(Control, WhatIsLedIsStoppedByNoPoint) {
  Guide guide;
  control_.set_guide(&guide);
  ASSERT_TRUE(control_.insert_breakpoint(kHere, Kind::Software));
  control_.lead(true);
  EXPECT_TRUE(control_.is_leading());
  EXPECT_TRUE(control_.is_interpreted(kThere));
  EXPECT_FALSE(control_.stops_at(kHere));
  EXPECT_EQ(guide.points, std::vector{StopCause::Breakpoint});
  control_.end_lead({StopCause::TapeBegin, {}});
  EXPECT_FALSE(control_.is_leading());
  EXPECT_TRUE(control_.is_standing());
  EXPECT_EQ(control_.last_stop().cause, StopCause::TapeBegin);
  control_.set_guide(nullptr);
}

TEST_F(Control, InterruptsOfAReplayNeverWait) {
  Guide guide;
  control_.set_guide(&guide);
  control_.pause(StopCause::Asked);
  control_.note_paused_at(kHere);
  control_.step();
  EXPECT_FALSE(control_.holds_interrupts(kHere));
  EXPECT_TRUE(control_.is_interpreted(kHere));
  control_.set_guide(nullptr);
}

}  // namespace
}  // namespace ringshift

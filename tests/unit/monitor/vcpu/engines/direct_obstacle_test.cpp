// Direct obstacle: user code that the sandboxed process cannot run exactly, by its registers.
#include "monitor/vcpu/engines/direct_obstacle.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

GuestState user_state() {
  GuestState state;
  state.cpl = 3;
  state.eflags = kFlagReservedOne | kFlagIf;
  state.cr0 = kCr0Pe | kCr0Ne;
  state.cr4 = kCr4Osfxsr | kCr4Osxmmexcpt;
  return state;
}

TEST(DirectObstacles, OrdinaryUserCodeHasNone) {
  EXPECT_EQ(direct_obstacle(user_state()), DirectObstacle::None);
}

TEST(DirectObstacles, WhatTheProcessCannotBeGivenIsNamed) {
  struct Case {
    DirectObstacle obstacle;
    void (*change)(GuestState*);
  };
  const std::vector<Case> cases = {
      {DirectObstacle::NotUser, [](GuestState* s) { s->cpl = 0; }},
      {DirectObstacle::InterruptsOff, [](GuestState* s) { s->eflags &= ~kFlagIf; }},
      {DirectObstacle::InterruptsOff, [](GuestState* s) { s->eflags |= kFlagIopl; }},
      {DirectObstacle::SegmentsNotFlat,
       [](GuestState* s) {
         s->seg(SegmentRegister::Gs) = {0x1000, 0xffff, 0x33, 0xc0f3};
       }},
      {DirectObstacle::SegmentsNotFlat,  // read-only data
       [](GuestState* s) {
         s->seg(SegmentRegister::Fs) = {0, 0xffffffffU, 0x33, 0xc0f1};
       }},
      {DirectObstacle::FpuUnavailable, [](GuestState* s) { s->cr0 |= kCr0Ts; }},
      {DirectObstacle::FpuUnavailable, [](GuestState* s) { s->cr4 = 0; }},
      {DirectObstacle::AlignmentMask, [](GuestState* s) { s->eflags |= kFlagAc; }},
  };
  for (const Case& each : cases) {
    GuestState state = user_state();
    each.change(&state);
    EXPECT_EQ(direct_obstacle(state), each.obstacle) << static_cast<int>(each.obstacle);
  }
  GuestState checked = user_state();
  checked.eflags |= kFlagAc;
  checked.cr0 |= kCr0Am;
  EXPECT_EQ(direct_obstacle(checked), DirectObstacle::None);
}

}  // namespace
}  // namespace ringshift

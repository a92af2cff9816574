// ProgressWatch: a guest that moves is not stuck, one that stands still is, and not too soon.
#include "monitor/vcpu/engines/progress_watch.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(ProgressWatchTest, AnInstructionThatStandsStillIsStuckInTheEnd) {
  ProgressWatch watch;
  GuestState state;
  state.eip = 0x1000;
  int faults = 0;
  while (!watch.is_stuck(state)) ASSERT_LT(++faults, 100);
  EXPECT_GE(faults, 8);  // of one instruction may be as many
  EXPECT_FALSE(watch.is_stuck(state));
}

TEST(ProgressWatchTest, AStringThatMovesIsNot) {
  ProgressWatch watch;
  GuestState state;
  state.eip = 0x1000;
  for (int i = 0; i < 1000; ++i) {
    state.reg(Gpr::Edi) += 0x1000;
    EXPECT_FALSE(watch.is_stuck(state));
  }
}

}  // namespace
}  // namespace ringshift

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

// DR0 watches reads and writes of the dword at kWatched.
class InterpreterDebug : public InterpreterFixture {
 protected:
  static constexpr uint32_t kWatched = kData + 0x100;
  static constexpr uint32_t kReadsAndWrites = 0xf0001, kWrites = 0xd0001;
  static constexpr uint32_t kHit = 1, kSingleStep = 1U << 14;

  InterpreterDebug() {
    state.dr[0] = kWatched;
    state.dr[7] = kReadsAndWrites;
    set32(kWatched, kData0);
    edi() = kWatched;
    edx() = kData0;
  }
  // DR6 bits of the trap behind this instruction; 0 if there is none.
  uint32_t trap(std::initializer_list<unsigned> bytes) {
    const StepResult result = step(bytes);
    if (result.kind == StepKind::Done) return 0;
    EXPECT_EQ(result.kind, StepKind::Fault);
    EXPECT_EQ(result.fault.vector, Vector::Debug);
    return result.fault.dr6_bits;
  }
};

TEST_F(InterpreterDebug, ABreakpointThatMovSsHitsWaitsForTheNextInstruction) {
  EXPECT_EQ(trap({0x8e, 0x17}), 0U);  // mov ss, [edi]
  EXPECT_EQ(trap({0x90}), kHit);
  EXPECT_EQ(trap({0x90}), 0U);
}

TEST_F(InterpreterDebug, ABreakpointThatPopSsHitsWaitsForTheNextInstruction) {
  esp() = kWatched;
  EXPECT_EQ(trap({0x17}), 0U);
  EXPECT_EQ(trap({0x90}), kHit);
}

TEST_F(InterpreterDebug, OtherSegmentLoadsHoldNothingOff) {
  EXPECT_EQ(trap({0x8e, 0x1f}), kHit);  // mov ds, [edi]
  set32(kWatched, 0x8000);
  set16(kWatched + 4, kData0);
  EXPECT_EQ(trap({0x0f, 0xb2, 0x27}), kHit);  // lss esp, [edi]
  EXPECT_EQ(state.interrupt_shadow, 0);
}

TEST_F(InterpreterDebug, TheSingleStepBehindMovSsIsForgotten) {
  state.eflags |= kFlagTf;
  EXPECT_EQ(trap({0x8e, 0xd2}), 0U);  // mov ss, dx
  EXPECT_EQ(trap({0x90}), kSingleStep);
  EXPECT_EQ(trap({0x8e, 0x17}), 0U);
  EXPECT_EQ(trap({0x90}), kHit | kSingleStep);
}

TEST_F(InterpreterDebug, TheShadowOfStiHoldsNoTrapOff) {
  state.eflags |= kFlagTf;
  EXPECT_EQ(trap({0xfb}), kSingleStep);
  state.eflags &= ~(kFlagTf | kFlagIf);
  EXPECT_EQ(trap({0xfb}), 0U);
  EXPECT_EQ(trap({0x8b, 0x07}), kHit);  // mov eax, [edi]
}

TEST_F(InterpreterDebug, WhatIsHeldStaysHeldWhileAnEventIsDue) {
  EXPECT_EQ(trap({0x8e, 0x17}), 0U);
  EXPECT_EQ(step({0xcc}).kind, StepKind::SoftwareEvent);
  EXPECT_EQ(state.held_debug, kHit);
}

// On silicon, too: each slot of a frame on the stack that the transfer comes with.
TEST_F(InterpreterDebug, FarTransfersHitWhatTheyPushAndPop) {
  for (const uint32_t slot : {0U, 4U}) {
    enter_ring(0);
    state.dr[7] = kWrites;
    esp() = kWatched + 8 - slot;
    EXPECT_EQ(trap({0x9a, 0, 0, 3, 0, kCode0, 0}), kHit) << slot;  // call 8:30000
    enter_ring(0);
    state.dr[7] = kReadsAndWrites;
    esp() = kWatched - slot;
    set32(esp(), 0x30000);
    set32(esp() + 4, kCode0);
    EXPECT_EQ(trap({0xcb}), kHit) << slot;  // retf
  }
  enter_ring(0);
  esp() = kWatched - 8;  // where a RETF would have ended
  set32(esp(), 0x30000);
  set32(esp() + 4, kCode0);
  set32(esp() + 8, kFlagReservedOne);
  EXPECT_EQ(trap({0xcf}), kHit);
  enter_ring(0);
  esp() = kWatched + 0x20;
  EXPECT_EQ(trap({0x9a, 0, 0, 3, 0, kCode0, 0}), 0U);
}

TEST_F(InterpreterDebug, FxsaveHitsWhatItWrites) {
  state.cr4 |= kCr4Osfxsr;
  state.dr[7] = kWrites;
  edi() = kWatched - 0x110;  // XMM7
  EXPECT_EQ(trap({0x0f, 0xae, 0x07}), kHit);
  edi() = kWatched - 0x120;  // behind it
  EXPECT_EQ(trap({0x0f, 0xae, 0x07}), 0U);
}

TEST_F(InterpreterDebug, WhatIsNotWrittenHitsNoWriteBreakpoint) {
  state.dr[7] = kWrites;
  state.cr4 |= kCr4Osfxsr;
  edx() = 0;
  EXPECT_EQ(trap({0x63, 0x17}), 0U);  // arpl [edi], dx: nothing to adjust
  edx() = 3;
  EXPECT_EQ(trap({0x63, 0x17}), kHit);
  std::fill_n(state.fxsave.begin() + 160, 32, uint8_t{0});
  EXPECT_EQ(trap({0x66, 0x0f, 0xf7, 0xc1}), 0U);  // maskmovdqu, mask 0
  esp() = kWatched + 8;
  EXPECT_EQ(trap({0xc8, 4, 0, 0}), 0U);             // enter 4, 0: the new top is only probed
  EXPECT_EQ(trap({0x0f, 0xb1, 0x17}), kHit);        // cmpxchg that fails
  EXPECT_EQ(trap({0xc1, 0x27, 0x00}), kHit);        // shl by 0
  EXPECT_EQ(trap({0x0f, 0xa4, 0x17, 0x00}), kHit);  // shld by 0
}

}  // namespace
}  // namespace ringshift

// Calls that a guest makes with whatever it likes: Return against the instructions that it stands
// for, and all of them with random registers and memory.
#include <random>

#include "tests/support/ringshift_interface_fixture.h"

namespace ringshift {
namespace {

class RingshiftCallsTest : public RingshiftInterfaceFixture {
 protected:
  static constexpr uint32_t kPushedAt = 56;
  std::mt19937 random_{20261130};

  uint32_t number() { return static_cast<uint32_t>(random_()); }
  uint32_t pick(uint32_t below) { return number() % below; }
  // Mostly what could be right.
  uint32_t selector() {
    constexpr uint16_t kLikely[] = {0,      kCode0, kData0,       kCode3,       kData3,
                                    kData1, kFree,  kConforming0, kTssSelector, kCode3 - 3};
    return pick(8) == 0 ? number() : kLikely[pick(std::size(kLikely))];
  }
  void put_random_frame() {
    for (uint32_t at = 0; at < 80; at += 4) set32(kFrame + at, number());
    for (uint32_t at = 32; at < 48; at += 4) set32(kFrame + at, selector());
    const bool to_user = pick(2) == 0;
    set32(kFrame + kPushedAt, pick(4) == 0 ? number() : 0x31000);
    set32(kFrame + kPushedAt + 4, pick(4) == 0 ? selector() : (to_user ? kCode3 : kCode0));
    constexpr uint32_t kOdd = kFlagVm | kFlagNt;
    set32(kFrame + kPushedAt + 8, number() & (pick(8) == 0 ? ~0U : ~kOdd));
    set32(kFrame + kPushedAt + 16, pick(4) == 0 ? selector() : (to_user ? kData3 : kData0));
  }
  // POPA, POP GS, FS, ES and DS, ADD ESP, 8, IRET: as a kernel does it.
  MaybeFault return_by_instructions() {
    state.reg(Gpr::Esp) = kFrame;
    place({0x61, 0x0f, 0xa9, 0x0f, 0xa1, 0x07, 0x1f, 0x83, 0xc4, 0x08, 0xcf});
    for (int i = 0; i < 7; ++i) {
      const StepResult result = step();
      if (result.kind == StepKind::Fault && result.fault.vector != Vector::Debug) {
        return result.fault;
      }
    }
    return kNoFault;
  }
};

TEST_F(RingshiftCallsTest, ReturnIsWhatTheInstructionsAre) {
  int returned = 0, refused = 0;
  for (int turn = 0; turn < 4000; ++turn) {
    put_random_frame();
    enter_ring(0);
    state.eflags = kFlagReservedOne | kFlagIf;
    const GuestState before = state;
    const MaybeFault wanted = return_by_instructions();
    const GuestState wanted_state = state;
    state = before;
    const StepResult result = call(Call::Return, kFrame);
    const bool is_refused = result.kind == StepKind::Fault && result.fault.vector != Vector::Debug;
    ASSERT_EQ(is_refused, wanted.has_value()) << turn;
    if (is_refused) {
      ++refused;
      EXPECT_EQ(result.fault, *wanted) << turn;
      EXPECT_EQ(state.eip, before.eip);
      EXPECT_EQ(state.segment, before.segment);
      EXPECT_EQ(state.reg(Gpr::Edx), kFrame);
      continue;
    }
    ++returned;
    EXPECT_EQ(state.gpr, wanted_state.gpr) << turn;
    EXPECT_EQ(state.segment, wanted_state.segment) << turn;
    EXPECT_EQ(state.eip, wanted_state.eip);
    EXPECT_EQ(state.eflags, wanted_state.eflags) << turn;
    EXPECT_EQ(state.cpl, wanted_state.cpl);
  }
  EXPECT_GT(returned, 500);
  EXPECT_GT(refused, 500);
}

TEST_F(RingshiftCallsTest, ReturnUnmasksOnlyIfItReturns) {
  share();
  put_random_frame();
  for (uint32_t at = 32; at < 48; at += 4) set32(kFrame + at, kData3);
  set32(kFrame + kPushedAt, 0x31000);
  set32(kFrame + kPushedAt + 4, kCode3);
  set32(kFrame + kPushedAt + 8, kFlagReservedOne | kFlagIf);
  set32(kFrame + kPushedAt + 12, 0x8000);
  set32(kFrame + kPushedAt + 16, kData0);  // no stack for ring 3
  set8(kShared, 1);
  EXPECT_EQ(call(Call::Return, kFrame).kind, StepKind::Fault);
  EXPECT_EQ(get8(kShared), 1U);
  set32(kFrame + kPushedAt + 16, kData3);
  EXPECT_EQ(call(Call::Return, kFrame).kind, StepKind::Done);
  EXPECT_EQ(get8(kShared), 0U);
  EXPECT_EQ(state.cpl, 3U);
  EXPECT_EQ(state.eip, 0x31000U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x8000U);
}

// Nothing crashes, user code is refused, and a call leaves the processor where it was.
TEST_F(RingshiftCallsTest, AnythingMayBeAsked) {
  share();
  enable_paging();
  unmap(0x75000);
  for (int turn = 0; turn < 20'000; ++turn) {
    enter_ring(0);
    const auto likely = [this] {
      constexpr uint32_t kAddresses[] = {kArray,     kFrame,     kTable,    0x74ff8,
                                         0x75000,    0xfffffff8, kRamBytes, 0xf1000,
                                         0x00400000, kShared,    0,         64};
      return pick(3) == 0 ? number() : kAddresses[pick(std::size(kAddresses))];
    };
    for (uint32_t at = 0; at < 64; at += 4) set32(kArray + at, likely());
    if (pick(4) == 0) put_random_frame();
    const uint32_t eip = state.eip;
    const uint32_t asked = pick(20);
    const StepResult result = call(static_cast<Call>(asked), likely(), likely() % 1024, pick(3));
    ASSERT_NE(result.kind, StepKind::Unimplemented);
    if (asked == static_cast<uint32_t>(Call::Return)) {
      ASSERT_TRUE(state.cpl == 0 || state.cpl == 1 || state.cpl == 3);
    } else {
      ASSERT_EQ(result.kind == StepKind::Fault, false) << asked;
      ASSERT_EQ(state.eip, eip + 2);
      ASSERT_EQ(state.cpl, 0U);
    }
    if (calls_->interrupts(pick(2) == 0)) (void)calls_->take_upcall();
    clock_.advance(pick(100));
    tsc_.now += pick(1000);
    // The guest's own changes to its state.
    state.eflags = kFlagReservedOne | kFlagIf;
    enable_paging();
    unmap(0x75000);
    set_up_tables();
  }
}

}  // namespace
}  // namespace ringshift

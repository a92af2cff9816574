// Callouts: the state that a callee sees, the state it may change, and its three answers.
#include <functional>

#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

// cpuid stands for every instruction that is a callout.
const std::string kCallout = "0f a2 ";

// HLT, which ends the snippets, asks for the interpreter and gets an exit.
class Callouts : public ::testing::Test {
 protected:
  void SetUp() override {
    machine_.gate->set_callout([](void* test) { return static_cast<Callouts*>(test)->answer(); },
                               this);
  }

  uint64_t answer() {
    Gate& gate = *machine_.gate;
    gate.begin_callout();
    if (machine_.slots().callout_return == 0) return kCalloutLeaves;
    ++calls_;
    GuestState& state = machine_.state();
    seen_ = state;
    if (change_) change_(state);
    if (leave_) return gate.leave_from_callout();
    if (state.eip != seen_.eip) return gate.dispatch_from_callout();
    return gate.return_from_callout();
  }

  Machine machine_;
  GuestState seen_;
  uint32_t calls_ = 0;
  bool leave_ = false;
  std::function<void(GuestState&)> change_;
};

TEST_F(Callouts, TheCalleeSeesTheBoundaryBeforeTheInstruction) {
  machine_.state().eflags |= kFlagIf | kFlagNt;
  machine_.reg(Gpr::Esi) = 7;
  machine_.run_snippet("46 f9 " + kCallout);  // inc esi; stc
  EXPECT_EQ(calls_, 1U);
  EXPECT_EQ(seen_.eip, Machine::kCode + 2);
  EXPECT_EQ(machine_.slots().callout_next_eip, Machine::kCode + 4);
  EXPECT_EQ(seen_.reg(Gpr::Esi), 8U);
  EXPECT_EQ(seen_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(seen_.eflags & (kFlagCf | kFlagZf | kFlagIf | kFlagNt), kFlagCf | kFlagIf | kFlagNt);
}

TEST_F(Callouts, WhatTheCalleeChangesIsTrueBehindTheCall) {
  constexpr uint32_t kFlags =
      kFlagReservedOne | kFlagsArithmetic | kFlagDf | kFlagIf | kFlagIopl | kFlagNt;
  change_ = [](GuestState& state) {
    for (uint32_t i = 0; i < kGprCount; ++i) state.gpr[i] = 0x01010101U * (i + 1);
    state.reg(Gpr::Esp) = Machine::kStack - 0x100;
    state.eflags = kFlags;
  };
  machine_.run_snippet(kCallout + "9c ");  // pushfd
  EXPECT_EQ(machine_.read32(Machine::kStack - 0x104), kFlags);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x01010101U);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 0x06060606U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x08080808U);
}

TEST_F(Callouts, EveryCombinationOfFlagsSurvives) {
  constexpr std::array<uint32_t, 7> kFlags = {kFlagCf, kFlagPf, kFlagAf, kFlagZf,
                                              kFlagSf, kFlagOf, kFlagDf};
  uint32_t flags = 0;
  change_ = [&flags](GuestState& state) { state.eflags = flags; };
  for (uint32_t bits = 0; bits < 1U << kFlags.size(); ++bits) {
    flags = kFlagReservedOne;
    for (size_t i = 0; i < kFlags.size(); ++i) flags |= ((bits >> i) & 1U) != 0 ? kFlags[i] : 0;
    machine_.run_snippet(kCallout);
    EXPECT_EQ(machine_.state().eflags, flags);
  }
}

TEST_F(Callouts, CallsAndReturnsAroundThemStayPaired) {
  machine_.load(Machine::kCode + 0x100, kCallout + "c3 ");
  machine_.run_snippet(
      "e8 fb 00 00 00 "    // call +0x100
      "e8 f6 00 00 00 ");  // call +0x100
  EXPECT_EQ(calls_, 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.return_stack_resets, 0U);
}

TEST_F(Callouts, TheGuestMayGoOnElsewhere) {
  constexpr uint32_t kElsewhere = Machine::kCode + 0x200;
  change_ = [](GuestState& state) {
    state.eip = kElsewhere;
    state.reg(Gpr::Ecx) = 5;
  };
  machine_.load(Machine::kCode, kCallout + "0f 0b");
  machine_.load(kElsewhere, "8d 41 01 f4 ");  // lea eax, [ecx + 1]; hlt
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 1U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 6U);
  EXPECT_EQ(machine_.state().eip, kElsewhere + 3);

  machine_.state().eip = Machine::kCode;  // now without leaving
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 1U);
  EXPECT_EQ(machine_.state().eip, kElsewhere + 3);
}

TEST_F(Callouts, LeavingKeepsTheStateAsTheCalleeLeftIt) {
  leave_ = true;
  change_ = [](GuestState& state) {
    state.eip = 0x12345678;
    state.eflags = kFlagReservedOne | kFlagRf | kFlagOf;
  };
  const Exit exit = machine_.run_code(kCallout);
  EXPECT_EQ(exit.reason, ExitReason::Callout);
  EXPECT_EQ(exit.eip, Eip(0x12345678U));
  EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | kFlagRf | kFlagOf);
}

TEST_F(Callouts, TheFpuStateIsTheGuestsBeforeAndBehind) {
  change_ = [](GuestState& state) {
    EXPECT_EQ(state.fxsave[32 + 7], 0x80);  // ST0 is 1.0: its integer bit
    std::memset(state.fxsave.data() + 32, 0, 10);
    // Host code uses these registers as it likes.
    asm volatile("pcmpeqd %%xmm5, %%xmm5" : : : "xmm5");
  };
  machine_.write32(Machine::kData, 0x3f800000);
  machine_.run_snippet("0f 10 2d 00 80 00 00 d9 e8 " +  // movups xmm5, [0x8000]; fld1
                       kCallout +
                       "d9 1d 20 80 00 00 "       // fstp dword [0x8020]
                       "0f 11 2d 10 80 00 00 ");  // movups [0x8010], xmm5
  EXPECT_EQ(machine_.read32(Machine::kData + 0x20), 0U);
  EXPECT_EQ(machine_.read32(Machine::kData + 0x10), 0x3f800000U);
}

TEST_F(Callouts, AFullReturnStackIsFoundBeforeTheInstruction) {
  machine_.load(Machine::kCode,
                "b9 00 00 02 00 "     // mov ecx, 0x20000
                "e8 00 00 00 00 "     // call $ + 5 (never returns)
                "83 c4 04 " +         // add esp, 4
                    kCallout +        //
                    "49 75 f3 f4 ");  // dec ecx; jnz $ - 11; hlt
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  EXPECT_EQ(calls_, 0x20000U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_GT(machine_.return_stack_resets, 0U);
}

}  // namespace
}  // namespace ringshift

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

using InterpreterControl = InterpreterFixture;
constexpr uint32_t kDr6SingleStep = 1U << 14;

TEST_F(InterpreterControl, ConditionalJumpTakesItsBranchOnlyWhenTheConditionHolds) {
  state.eflags |= kFlagZf;
  run({0x74, 0x10});  // jz +16
  EXPECT_EQ(state.eip, kCode + 0x12);
  run({0x75, 0x10});  // jnz +16
  EXPECT_EQ(state.eip, kCode + 0x14);
}

TEST_F(InterpreterControl, SixteenBitJumpTruncatesEip) {
  state.eip = 0x2fffe;
  run({0x66, 0xe9, 0x10, 0x00});  // jmp word +16
  EXPECT_EQ(state.eip, 0x0012U);
}

TEST_F(InterpreterControl, CallPushesTheNextInstruction) {
  run({0xe8, 0x00, 0x01, 0x00, 0x00});
  EXPECT_EQ(state.eip, kCode + 0x105);
  EXPECT_EQ(get32(kStackTop - 4), kCode + 5);
  run({0xc2, 0x08, 0x00});  // ret 8
  EXPECT_EQ(state.eip, kCode + 5);
  EXPECT_EQ(esp(), kStackTop + 8);
}

TEST_F(InterpreterControl, JumpBeyondTheCodeLimitFaultsAtTheJump) {
  state.seg(SegmentRegister::Cs).limit = kCode + 0x100;
  EXPECT_EQ(fault({0xe9, 0x00, 0x02, 0x00, 0x00}), GuestFault::general_protection(0));
}

TEST_F(InterpreterControl, LoopCountsInTheAddressSize) {
  ecx() = 0x00010001;
  run({0x67, 0xe2, 0x10});  // loop with CX
  EXPECT_EQ(ecx(), 0x00010000U);
  EXPECT_EQ(state.eip, kCode + 3);
}

TEST_F(InterpreterControl, SoftwareInterruptIsAnEventWithEipAtTheInstruction) {
  const StepResult result = step({0xcd, 0x80});
  EXPECT_EQ(result.kind, StepKind::SoftwareEvent);
  EXPECT_EQ(result.vector, 0x80);
  EXPECT_FALSE(result.is_software_exception);
  EXPECT_EQ(result.return_eip, Eip(kCode + 2));
  EXPECT_EQ(state.eip, kCode);
}

TEST_F(InterpreterControl, SoftwareInterruptInV86NeedsIoplThree) {
  enter_v86(0);
  EXPECT_EQ(fault({0xcd, 0x21}), GuestFault::general_protection(0));
}

TEST_F(InterpreterControl, IntoWithoutOverflowDoesNothing) {
  run({0xce});
  state.eflags |= kFlagOf;
  const StepResult result = step({0xce});
  EXPECT_EQ(result.kind, StepKind::SoftwareEvent);
  EXPECT_EQ(result.vector, 4);
  EXPECT_TRUE(result.is_software_exception);
}

TEST_F(InterpreterControl, BoundFaultsOutsideItsLimits) {
  set32(kData, 1);
  set32(kData + 4, 5);
  eax() = 5;
  run({0x62, 0x05, 0, 0, 5, 0});
  eax() = 6;
  EXPECT_EQ(fault({0x62, 0x05, 0, 0, 5, 0}).vector, Vector::BoundRange);
}

TEST_F(InterpreterControl, TrapFlagRaisesDebugAfterTheInstruction) {
  state.eflags |= kFlagTf;
  const StepResult result = step({0x40});  // inc eax
  EXPECT_EQ(result.kind, StepKind::Fault);
  EXPECT_EQ(result.fault.vector, Vector::Debug);
  EXPECT_EQ(result.fault.dr6_bits, kDr6SingleStep);
  EXPECT_EQ(state.eip, kCode + 1);
  EXPECT_EQ(eax(), 1U);
}

TEST_F(InterpreterControl, LoadingSsHoldsOffTheSingleStepTrap) {
  state.eflags |= kFlagTf;
  eax() = kData0;
  EXPECT_EQ(step({0x8e, 0xd0}).kind, StepKind::Done);  // mov ss, ax
  EXPECT_NE(state.interrupt_shadow, 0);
  EXPECT_EQ(step({0x90}).kind, StepKind::Fault);
  EXPECT_EQ(state.interrupt_shadow, 0);
}

TEST_F(InterpreterControl, StiHoldsOffInterruptsForOneInstruction) {
  run({0xfb});
  EXPECT_NE(state.interrupt_shadow, 0);
  run({0x90});
  EXPECT_EQ(state.interrupt_shadow, 0);
}

TEST_F(InterpreterControl, InstructionBreakpointFaultsUnlessResumeFlagIsSet) {
  state.dr[0] = kCode;
  state.dr[7] = 1;
  EXPECT_EQ(fault({0x90}).dr6_bits, 1U);
  state.eflags |= kFlagRf;
  run({0x90});
  EXPECT_EQ(state.eflags & kFlagRf, 0U);
}

TEST_F(InterpreterControl, WriteBreakpointTrapsAfterTheStore) {
  state.dr[1] = kData;
  state.dr[7] = (1U << 2) | (0xdU << 20);                          // L1, four bytes, writes
  const StepResult result = step({0xc6, 0x05, 2, 0, 5, 0, 0x77});  // mov byte [kData+2], 77h
  EXPECT_EQ(result.fault.dr6_bits, 2U);
  EXPECT_EQ(get8(kData + 2), 0x77);
  EXPECT_EQ(state.eip, kCode + 7);
}

TEST_F(InterpreterControl, FifteenBytesAreTheMost) {
  EXPECT_EQ(fault({0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e,
                   0x2e, 0x2e, 0x90}),
            GuestFault::general_protection(0));
}

TEST_F(InterpreterControl, UndefinedOpcodesAreUndefined) {
  EXPECT_EQ(fault({0x0f, 0x0b}), GuestFault::invalid_opcode());              // ud2
  EXPECT_EQ(fault({0x0f, 0x05}), GuestFault::invalid_opcode());              // syscall
  EXPECT_EQ(fault({0xc5, 0xf8, 0x77}), GuestFault::invalid_opcode());        // vzeroupper
  EXPECT_EQ(fault({0x0f, 0x01, 0xf9}), GuestFault::invalid_opcode());        // rdtscp
  EXPECT_EQ(fault({0x0f, 0xc7, 0xf0}), GuestFault::invalid_opcode());        // rdrand eax
  EXPECT_EQ(fault({0x0f, 0x38, 0xf0, 0x01}), GuestFault::invalid_opcode());  // movbe
  EXPECT_EQ(fault({0x0f, 0x01, 0xd0}), GuestFault::invalid_opcode());        // xgetbv
  EXPECT_EQ(fault({0x0f, 0x0f, 0xc0, 0x9e}), GuestFault::invalid_opcode());  // pfadd
}

TEST_F(InterpreterControl, HintsDoNothing) {
  run({0xf3, 0x0f, 0x1e, 0xfb});        // endbr32
  run({0x0f, 0x1f, 0x44, 0x00, 0x00});  // nop
  run({0x0f, 0x0d, 0x08});              // prefetchw [eax]
  run({0xf3, 0x90});                    // pause
}

TEST_F(InterpreterControl, InstructionAcrossAnUnmappedPageFaultsAtThePage) {
  enable_paging();
  state.eip = 0x30ffe;
  place({0xb8, 1, 2, 3, 4});  // mov eax, imm32
  unmap(0x31000);
  const StepResult result = step();
  EXPECT_EQ(result.fault.vector, Vector::PageFault);
  EXPECT_EQ(result.fault.cr2, 0x31000U);
}

TEST_F(InterpreterControl, ChangedBytesAreDecodedAgain) {
  run({0x40});  // inc eax
  state.eip = kCode;
  run({0x43});  // inc ebx
  EXPECT_EQ(ebx(), 1U);
}

TEST_F(InterpreterControl, ShorterInstructionBeforeAnAbsentPageNeedsOnlyItsOwnBytes) {
  enable_paging();
  state.eip = 0x30ffe;
  run({0xb8, 1, 2, 3, 4});  // mov eax, imm32, across the boundary
  unmap(0x31000);
  state.eip = 0x30ffe;
  run({0x43});  // inc ebx
  EXPECT_EQ(ebx(), 1U);
}

TEST_F(InterpreterControl, FarCallAndReturnAgree) {
  run({0x9a, 0x00, 0x00, 0x04, 0x00, kCode0, 0x00});  // call 8:40000
  EXPECT_EQ(state.eip, 0x40000U);
  run({0xcb});
  EXPECT_EQ(state.eip, kCode + 7);
  EXPECT_EQ(esp(), kStackTop);
}

}  // namespace
}  // namespace ringshift

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

using InterpreterArith = InterpreterFixture;

TEST_F(InterpreterArith, AddSetsCarryZeroAndAdjust) {
  eax() = 0xffffffff;
  ebx() = 1;
  run({0x01, 0xd8});  // add eax, ebx
  EXPECT_EQ(eax(), 0U);
  EXPECT_EQ(flags(), kFlagCf | kFlagZf | kFlagAf | kFlagPf);
  EXPECT_EQ(state.eip, kCode + 2);
}

TEST_F(InterpreterArith, ByteRegistersFourToSevenAreTheHighBytes) {
  eax() = 0x11223344;
  ebx() = 0x55667788;
  run({0x00, 0xfc});  // add ah, bh
  EXPECT_EQ(eax(), 0x1122aa44U);
}

TEST_F(InterpreterArith, IncrementKeepsCarry) {
  state.eflags |= kFlagCf;
  ecx() = 0x7fffffff;
  run({0x41});  // inc ecx
  EXPECT_EQ(ecx(), 0x80000000U);
  EXPECT_EQ(flags(), kFlagCf | kFlagOf | kFlagSf | kFlagAf | kFlagPf);
}

TEST_F(InterpreterArith, SubtractWithBorrowOnMemoryUsesTheOldCarry) {
  state.eflags |= kFlagCf;
  set32(kData, 5);
  run({0x83, 0x1d, 0x00, 0x00, 0x05, 0x00, 0x02});  // sbb dword [kData], 2
  EXPECT_EQ(get32(kData), 2U);
  EXPECT_EQ(flags(), 0U);
}

TEST_F(InterpreterArith, CompareWritesNothing) {
  eax() = 3;
  run({0x3d, 4, 0, 0, 0});  // cmp eax, 4
  EXPECT_EQ(eax(), 3U);
  EXPECT_EQ(flags(), kFlagCf | kFlagSf | kFlagAf | kFlagPf);
}

TEST_F(InterpreterArith, OpcodeEightyTwoIsAnAliasOfEighty) {
  eax() = 0x10;
  run({0x82, 0xc0, 0x05});  // add al, 5
  EXPECT_EQ(eax(), 0x15U);
}

TEST_F(InterpreterArith, TestAliasOfGroupThreeIsAccepted) {
  eax() = 0x80;
  run({0xf6, 0xc8, 0x80});  // test al, 80h by way of /1
  EXPECT_EQ(flags() & (kFlagSf | kFlagZf), kFlagSf);
  EXPECT_EQ(state.eip, kCode + 3);
}

TEST_F(InterpreterArith, DivideByZeroFaultsAndChangesNothing) {
  eax() = 7;
  edx() = 0;
  ecx() = 0;
  EXPECT_EQ(fault({0xf7, 0xf1}), GuestFault::simple(Vector::DivideError));  // div ecx
  EXPECT_EQ(eax(), 7U);
}

TEST_F(InterpreterArith, SignedDivideOfTheMostNegativeNumberByMinusOneFaults) {
  eax() = 0x80000000;
  edx() = 0xffffffff;
  ecx() = 0xffffffff;
  EXPECT_EQ(fault({0xf7, 0xf9}).vector, Vector::DivideError);  // idiv ecx
}

TEST_F(InterpreterArith, SignedByteDivideGivesQuotientAndRemainder) {
  eax() = 0xfff9;  // AX = -7
  ecx() = 2;
  run({0xf6, 0xf9});                    // idiv cl
  EXPECT_EQ(eax() & 0xffffU, 0xfffdU);  // AL = -3, AH = -1
}

TEST_F(InterpreterArith, WordDivideUsesDxAx) {
  eax() = 0xdead0001;
  edx() = 0xbeef0001;
  ecx() = 0x10;
  run({0x66, 0xf7, 0xf1});  // div cx: 0x10001 / 0x10
  EXPECT_EQ(eax(), 0xdead1000U);
  EXPECT_EQ(edx(), 0xbeef0001U);
}

TEST_F(InterpreterArith, MultiplySetsCarryAndOverflowWhenTheHighHalfCounts) {
  eax() = 0x80000000;
  ecx() = 2;
  run({0xf7, 0xe1});  // mul ecx
  EXPECT_EQ(eax(), 0U);
  EXPECT_EQ(edx(), 1U);
  EXPECT_EQ(flags() & (kFlagCf | kFlagOf), kFlagCf | kFlagOf);
}

TEST_F(InterpreterArith, ThreeOperandMultiplySignExtendsItsImmediate) {
  ecx() = 7;
  run({0x6b, 0xc1, 0xfe});  // imul eax, ecx, -2
  EXPECT_EQ(eax(), static_cast<uint32_t>(-14));
}

TEST_F(InterpreterArith, CompareExchangeLoadsTheAccumulatorOnMismatch) {
  eax() = 1;
  ecx() = 9;
  set32(kData, 5);
  run({0xf0, 0x0f, 0xb1, 0x0d, 0, 0, 5, 0});  // lock cmpxchg [kData], ecx
  EXPECT_EQ(eax(), 5U);
  EXPECT_EQ(get32(kData), 5U);
  EXPECT_EQ(flags() & kFlagZf, 0U);
}

TEST_F(InterpreterArith, CompareExchangeEightBytesStoresOnMatch) {
  set32(kData, 1);
  set32(kData + 4, 2);
  eax() = 1;
  edx() = 2;
  ebx() = 3;
  ecx() = 4;
  run({0x0f, 0xc7, 0x0d, 0, 0, 5, 0});  // cmpxchg8b [kData]
  EXPECT_EQ(get32(kData), 3U);
  EXPECT_EQ(get32(kData + 4), 4U);
  EXPECT_NE(flags() & kFlagZf, 0U);
}

TEST_F(InterpreterArith, ExchangeAndAddGivesTheOldValue) {
  eax() = 5;
  ebx() = 3;
  run({0x0f, 0xc1, 0xd8});  // xadd eax, ebx
  EXPECT_EQ(eax(), 8U);
  EXPECT_EQ(ebx(), 5U);
}

TEST_F(InterpreterArith, LockOnARegisterDestinationIsUndefined) {
  EXPECT_EQ(fault({0xf0, 0x01, 0xd8}), GuestFault::invalid_opcode());  // lock add eax, ebx
}

TEST_F(InterpreterArith, DecimalAdjustAfterAddition) {
  eax() = 0x9c;
  run({0x27});  // daa
  EXPECT_EQ(eax(), 0x02U);
  EXPECT_EQ(flags() & (kFlagCf | kFlagAf), kFlagCf | kFlagAf);
}

TEST_F(InterpreterArith, AsciiAdjustAfterMultiplySplitsDigits) {
  eax() = 73;
  run({0xd4, 10});  // aam
  EXPECT_EQ(eax() & 0xffffU, 0x0703U);
}

TEST_F(InterpreterArith, AsciiAdjustByZeroIsADivideError) {
  EXPECT_EQ(fault({0xd4, 0}).vector, Vector::DivideError);
}

TEST_F(InterpreterArith, SalcSpreadsTheCarry) {
  state.eflags |= kFlagCf;
  eax() = 0;
  run({0xd6});
  EXPECT_EQ(eax(), 0xffU);
}

TEST_F(InterpreterArith, ShiftByZeroKeepsAllFlags) {
  state.eflags |= kFlagsArithmetic;
  ecx() = 32;
  run({0xd3, 0xe0});  // shl eax, cl: the count is taken modulo 32
  EXPECT_EQ(flags(), kFlagsArithmetic);
}

TEST_F(InterpreterArith, RotateThroughCarryOfAByteCountsModuloNine) {
  eax() = 0x81;
  run({0xc0, 0xd0, 9});  // rcl al, 9
  EXPECT_EQ(eax(), 0x81U);
}

TEST_F(InterpreterArith, ShiftAliasSixIsShiftLeft) {
  eax() = 3;
  run({0xd1, 0xf0});  // sal eax, 1 by way of /6
  EXPECT_EQ(eax(), 6U);
}

TEST_F(InterpreterArith, DoubleShiftTakesBitsFromTheRegister) {
  eax() = 0x80000001;
  edx() = 0xf0000000;
  run({0x0f, 0xa4, 0xd0, 4});  // shld eax, edx, 4
  EXPECT_EQ(eax(), 0x0000001fU);
  EXPECT_EQ(flags() & kFlagCf, 0U);
}

TEST_F(InterpreterArith, ReadModifyWriteOnAnUnmappedPageReportsAWrite) {
  enable_paging();
  unmap(kData);
  const GuestFault expected = GuestFault::page_fault(kData, kPageFaultWrite);
  EXPECT_EQ(fault({0xff, 0x05, 0, 0, 5, 0}), expected);  // inc dword [kData]
}

TEST_F(InterpreterArith, BitTestWithARegisterIndexReachesNegativeOffsets) {
  set32(kData - 4, 0x80000000);
  eax() = static_cast<uint32_t>(-1);
  run({0x0f, 0xb3, 0x05, 0, 0, 5, 0});  // btr [kData], eax
  EXPECT_EQ(get32(kData - 4), 0U);
  EXPECT_NE(flags() & kFlagCf, 0U);
}

TEST_F(InterpreterArith, BitScanOfZeroKeepsTheDestination) {
  eax() = 0x1234;
  ecx() = 0;
  run({0x0f, 0xbc, 0xc1});  // bsf eax, ecx
  EXPECT_EQ(eax(), 0x1234U);
  EXPECT_NE(flags() & kFlagZf, 0U);
}

TEST_F(InterpreterArith, TzcntRunsAsBsfWithoutBmi1) {
  model.bmi1 = false;
  eax() = 0x1234;
  ecx() = 0;
  run({0xf3, 0x0f, 0xbc, 0xc1});
  EXPECT_EQ(eax(), 0x1234U);
  EXPECT_EQ(flags() & (kFlagZf | kFlagCf), kFlagZf);
}

TEST_F(InterpreterArith, PopcntAndCrc32BelongToTheNewerModelOnly) {
  ecx() = 0xff;
  run({0xf3, 0x0f, 0xb8, 0xc1});  // popcnt eax, ecx
  EXPECT_EQ(eax(), 8U);
  eax() = 0;
  run({0xf2, 0x0f, 0x38, 0xf1, 0xc1});  // crc32 eax, ecx
  EXPECT_EQ(eax(), 0x2803e842U);
}

TEST_F(InterpreterArith, PopcntIsUndefinedOnTheOlderModel) {
  model.sse42 = false;
  EXPECT_EQ(fault({0xf3, 0x0f, 0xb8, 0xc1}), GuestFault::invalid_opcode());
}

}  // namespace
}  // namespace ringshift

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

using InterpreterString = InterpreterFixture;

TEST_F(InterpreterString, RepeatedMoveCopiesAcrossPages) {
  for (uint32_t i = 0; i < 0x3000; i += 4) set32(kData + i, i * 7);
  esi() = kData + 2;
  edi() = kData + 0x8001;
  ecx() = 0x2000 / 4;
  run({0xf3, 0xa5});  // rep movsd
  EXPECT_EQ(ecx(), 0U);
  EXPECT_EQ(esi(), kData + 0x2002);
  EXPECT_EQ(edi(), kData + 0xa001);
  for (uint32_t i = 0; i < 0x2000; ++i) ASSERT_EQ(get8(kData + 2 + i), get8(kData + 0x8001 + i));
  EXPECT_EQ(state.eip, kCode + 2);
}

TEST_F(InterpreterString, OverlappingForwardCopyRepeatsThePattern) {
  set8(kData, 0xab);
  esi() = kData;
  edi() = kData + 1;
  ecx() = 100;
  run({0xf3, 0xa4});  // rep movsb
  EXPECT_EQ(get8(kData + 100), 0xab);
  EXPECT_EQ(get8(kData + 101), 0);
}

TEST_F(InterpreterString, LongRepeatsComeBackAfterABatch) {
  edi() = kData;
  eax() = 0x55;
  ecx() = Interpreter::kRepBatch + 10;
  run({0xf3, 0xaa});  // rep stosb
  EXPECT_EQ(ecx(), 10U);
  EXPECT_EQ(state.eip, kCode);
  run({0xf3, 0xaa});
  EXPECT_EQ(ecx(), 0U);
  EXPECT_EQ(state.eip, kCode + 2);
  EXPECT_EQ(get8(kData + Interpreter::kRepBatch + 9), 0x55);
}

TEST_F(InterpreterString, FaultInTheMiddleLeavesTheRegistersAtTheFaultingElement) {
  enable_paging();
  unmap(kData + 0x1000);
  edi() = kData + 0xff0;
  ecx() = 64;
  EXPECT_EQ(fault({0xf3, 0xaa}).cr2, kData + 0x1000);
  EXPECT_EQ(edi(), kData + 0x1000);
  EXPECT_EQ(ecx(), 48U);
}

TEST_F(InterpreterString, CompareStopsAtTheFirstDifference) {
  set32(kData, 0x04030201);
  set32(kData + 16, 0x04990201);
  esi() = kData;
  edi() = kData + 16;
  ecx() = 4;
  run({0xf3, 0xa6});  // repe cmpsb
  EXPECT_EQ(ecx(), 1U);
  EXPECT_EQ(esi(), kData + 3);
  EXPECT_EQ(flags() & kFlagZf, 0U);
}

TEST_F(InterpreterString, ScanForAByteStopsAfterIt) {
  set32(kData, 0x00434241);
  edi() = kData;
  eax() = 0;
  ecx() = 0xffffffff;
  run({0xf2, 0xae});  // repne scasb
  EXPECT_EQ(edi(), kData + 4);
  EXPECT_EQ(ecx(), 0xfffffffbU);
}

TEST_F(InterpreterString, DirectionFlagGoesDown) {
  set32(kData, 0x11223344);
  state.eflags |= kFlagDf;
  esi() = kData + 3;
  edi() = kData + 0x13;
  ecx() = 4;
  run({0xf3, 0xa4});
  EXPECT_EQ(get32(kData + 0x10), 0x11223344U);
  EXPECT_EQ(esi(), kData - 1);
}

TEST_F(InterpreterString, SixteenBitAddressesWrapAndKeepTheHighHalves) {
  set8(0xffff, 0x77);
  esi() = 0x0005ffff;
  run({0x67, 0xac});  // lodsb with SI
  EXPECT_EQ(eax() & 0xffU, 0x77U);
  EXPECT_EQ(esi(), 0x00050000U);
}

TEST_F(InterpreterString, CountOfZeroTouchesNothing) {
  edi() = kData;
  ecx() = 0;
  eax() = 0xff;
  run({0xf3, 0xaa});
  EXPECT_EQ(get8(kData), 0);
}

TEST_F(InterpreterString, TrapFlagStopsAfterEachIteration) {
  state.eflags |= kFlagTf;
  edi() = kData;
  ecx() = 3;
  const StepResult result = step({0xf3, 0xaa});
  EXPECT_EQ(result.fault.vector, Vector::Debug);
  EXPECT_EQ(ecx(), 2U);
  EXPECT_EQ(state.eip, kCode);
}

TEST_F(InterpreterString, UnclaimedPortReadsAsOnes) {
  edx() = 0x3f0;
  edi() = kData;
  run({0x6d});  // insd
  EXPECT_EQ(get32(kData), 0xffffffffU);
}

}  // namespace
}  // namespace ringshift

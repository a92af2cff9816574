// BMI1 in the interpreter: its processors, its results and its #UD. Exact flags are
// compared with the silicon by the differential tests.
#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

class InterpreterBmi1 : public InterpreterFixture {
 protected:
  void SetUp() override {
    if (!host_has_bmi1()) GTEST_SKIP() << "the host has no BMI1, so no guest has";
  }
  void expect_all_undefined() {
    EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf2, 0xc1}), GuestFault::invalid_opcode());  // andn
    EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf7, 0xc1}), GuestFault::invalid_opcode());  // bextr
    EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf3, 0xc9}), GuestFault::invalid_opcode());  // blsr
    EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf3, 0xd1}), GuestFault::invalid_opcode());  // blsmsk
    EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf3, 0xd9}), GuestFault::invalid_opcode());  // blsi
  }
};

TEST_F(InterpreterBmi1, TzcntOfZeroIsTheOperandSize) {
  eax() = 0x12345678;
  ecx() = 0xffff0000;
  run({0xf3, 0x0f, 0xbc, 0xc1});  // tzcnt eax, ecx
  EXPECT_EQ(eax(), 16U);
  EXPECT_EQ(flags() & (kFlagZf | kFlagCf), 0U);
  eax() = 0x12345678;
  run({0x66, 0xf3, 0x0f, 0xbc, 0xc1});  // tzcnt ax, cx
  EXPECT_EQ(eax(), 0x12340010U);
  EXPECT_EQ(flags() & (kFlagZf | kFlagCf), kFlagCf);
  ecx() = 1;
  run({0xf3, 0x0f, 0xbc, 0xc1});
  EXPECT_EQ(eax(), 0U);
  EXPECT_EQ(flags() & (kFlagZf | kFlagCf), kFlagZf);
}

TEST_F(InterpreterBmi1, OfF2AndF3TheLastCounts) {
  ecx() = 0;
  eax() = 0x1234;
  run({0xf3, 0xf2, 0x0f, 0xbc, 0xc1});  // bsf
  EXPECT_EQ(eax(), 0x1234U);
  run({0xf2, 0x0f, 0xbc, 0xc1});  // bsf
  EXPECT_EQ(eax(), 0x1234U);
  run({0xf2, 0xf3, 0x0f, 0xbc, 0xc1});  // tzcnt
  EXPECT_EQ(eax(), 32U);
  EXPECT_EQ(fault({0xf0, 0xf3, 0x0f, 0xbc, 0xc1}), GuestFault::invalid_opcode());  // lock
}

TEST_F(InterpreterBmi1, ThreeOperandForms) {
  ebx() = 0x0000ff00;
  ecx() = 0x00f0f0f8;
  run({0xc4, 0xe2, 0x60, 0xf2, 0xc1});  // andn eax, ebx, ecx
  EXPECT_EQ(eax(), 0x00f000f8U);
  ebx() = 0x0804;                       // eight bits from bit 4
  run({0xc4, 0xe2, 0x60, 0xf7, 0xc1});  // bextr eax, ecx, ebx
  EXPECT_EQ(eax(), 0x0fU);
  run({0xc4, 0xe2, 0x60, 0xf3, 0xd9});  // blsi ebx, ecx
  EXPECT_EQ(ebx(), 8U);
  run({0xc4, 0xe2, 0x60, 0xf3, 0xd1});  // blsmsk ebx, ecx
  EXPECT_EQ(ebx(), 15U);
  run({0xc4, 0xe2, 0x60, 0xf3, 0xc9});  // blsr ebx, ecx
  EXPECT_EQ(ebx(), 0x00f0f0f0U);
  EXPECT_EQ(ecx(), 0x00f0f0f8U);
}

TEST_F(InterpreterBmi1, MemoryOperandsFaultLikeAnyOther) {
  set32(kData, 0xff00ff00);
  ebx() = 0x0f000000;
  run({0xc4, 0xe2, 0x60, 0xf2, 0x05, 0, 0, 5, 0});  // andn eax, ebx, [kData]
  EXPECT_EQ(eax(), 0xf000ff00U);
  enable_paging();
  unmap(kData);
  const GuestFault expected = GuestFault::page_fault(kData, 0);
  EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf3, 0x0d, 0, 0, 5, 0}), expected);  // blsr ebx, [kData]
  EXPECT_EQ(ebx(), 0x0f000000U);
}

TEST_F(InterpreterBmi1, TheOperandIsADwordInSixteenBitCodeToo) {
  constexpr uint16_t kDefault32 = 0x4000;
  state.seg(SegmentRegister::Cs).attributes &= static_cast<uint16_t>(~kDefault32);
  ebx() = 0;
  ecx() = 0x80000000;
  run({0xc4, 0xe2, 0x60, 0xf2, 0xc1});  // andn eax, ebx, ecx
  EXPECT_EQ(eax(), 0x80000000U);
}

TEST_F(InterpreterBmi1, OtherFormsAreUndefined) {
  EXPECT_EQ(fault({0xc4, 0xe2, 0x64, 0xf2, 0xc1}), GuestFault::invalid_opcode());  // VEX.L
  EXPECT_EQ(fault({0xc4, 0xe2, 0x61, 0xf7, 0xc1}), GuestFault::invalid_opcode());  // shlx: BMI2
  EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf5, 0xc1}), GuestFault::invalid_opcode());  // bzhi: BMI2
  EXPECT_EQ(fault({0xc4, 0xe2, 0x60, 0xf3, 0xc1}), GuestFault::invalid_opcode());  // group 17 /0
  EXPECT_EQ(fault({0x66, 0xc4, 0xe2, 0x60, 0xf2, 0xc1}), GuestFault::invalid_opcode());
  EXPECT_EQ(fault({0xf0, 0xc4, 0xe2, 0x60, 0xf2, 0xc1}), GuestFault::invalid_opcode());
}

TEST_F(InterpreterBmi1, UndefinedOnAProcessorWithoutIt) {
  model.bmi1 = false;
  expect_all_undefined();
}

TEST_F(InterpreterBmi1, VexIsUndefinedInRealAndVirtual8086Mode) {
  enter_v86(3);
  expect_all_undefined();
  enter_real_mode();
  expect_all_undefined();
  ecx() = 0;
  run({0xf3, 0x0f, 0xbc, 0xc1});  // tzcnt ax, cx exists everywhere
  EXPECT_EQ(eax() & 0xffffU, 16U);
}

}  // namespace
}  // namespace ringshift

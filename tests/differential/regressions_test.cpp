// Cases that once failed, as explicit instructions. Each runs on the silicon, in the interpreter
// and translated in both styles, from the same state.
#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>

#include "tests/differential/comparison.h"
#include "tests/support/interpreter_fixture.h"

namespace ringshift::differential {
namespace {

class Regressions : public testing::Test {
 protected:
  Regressions() {
    std::string error;
    comparison_ = Comparison::create(&error);
    EXPECT_NE(comparison_, nullptr) << error;
    test_.start.eip = kCodeBase;
    test_.start.eflags = kFlagReservedOne | kFlagIf;
    test_.start.gpr = {1,
                       2,
                       3,
                       kDataBase + 0x100,
                       kDataMiddle,
                       kDataBase + 0x200,
                       kDataBase + 0x300,
                       kDataBase + 0x400};
    set16(0, 0x37f);
    set16(kMxcsr, 0x1f80);
  }
  void set16(size_t at, uint16_t value) {
    std::memcpy(&test_.start.fxsave[at], &value, sizeof(value));
  }
  void set_xmm0_float(uint32_t bits) { std::memcpy(&test_.start.fxsave[160], &bits, sizeof(bits)); }
  // ST(0) is 2^64 - 1, which no float holds exactly.
  void push_inexact() {
    set16(2, 7 << 11);
    test_.start.fxsave[4] = 0x80;
    std::memset(&test_.start.fxsave[32], 0xff, 8);
    set16(40, 0x403e);
  }
  void expect_agreement(std::initializer_list<uint8_t> code) {
    test_.pieces = {{code}};
    EXPECT_TRUE(comparison_->agrees(test_)) << comparison_->describe(test_);
  }
  static constexpr size_t kMxcsr = 24;
  Case test_;

 private:
  std::unique_ptr<Comparison> comparison_;
};

TEST_F(Regressions, ScalarConversionFromMemoryToAGeneralRegister) {
  expect_agreement({0xf3, 0x0f, 0x2d, 0x03});  // cvtss2si eax, [ebx]
  expect_agreement({0xf3, 0x0f, 0x2c, 0x03});  // cvttss2si eax, [ebx]
  expect_agreement({0xf2, 0x0f, 0x2d, 0x03});  // cvtsd2si eax, [ebx]
  expect_agreement({0xf2, 0x0f, 0x2c, 0x03});  // cvttsd2si eax, [ebx]
}

TEST_F(Regressions, FisttpOfADwordUsesTheGuestsStack) {
  push_inexact();
  expect_agreement({0xdb, 0x0b});  // fisttp dword [ebx]
  expect_agreement({0xdf, 0x0b});  // fisttp word [ebx]
  expect_agreement({0xdd, 0x0b});  // fisttp qword [ebx]
}

TEST_F(Regressions, StoreWithAnUnmaskedExceptionLeavesMemoryAlone) {
  push_inexact();
  set16(0, 0x340);                 // everything unmasked
  expect_agreement({0xdb, 0x1b});  // fistp dword [ebx]: invalid
  set16(40, 0x7000);               // beyond a float's range
  expect_agreement({0xd9, 0x1b});  // fstp dword [ebx]: overflow
}

TEST_F(Regressions, ConversionToMmxRaisesTheSimdException) {
  set16(kMxcsr, 0x1f00);  // invalid unmasked
  const uint32_t nan = 0x7fc00000;
  set_xmm0_float(nan);
  expect_agreement({0x0f, 0x2d, 0xc0});  // cvtps2pi mm0, xmm0
  expect_agreement(
      {0x0f, 0x11, 0x03, 0x0f, 0x2d, 0x03});  // movups [ebx], xmm0; cvtps2pi mm0, [ebx]
}

TEST_F(Regressions, UnmaskedUnderflowIsRaisedByAnExactTinyResult) {
  set16(kMxcsr, 0x1780);  // underflow unmasked
  set_xmm0_float(0x00000003);
  expect_agreement({0xf3, 0x0f, 0x58, 0xc1});  // addss xmm0, xmm1
}

TEST_F(Regressions, PopaFaultsAtTheLowestAddress) {
  test_.start.gpr[4] = kHole;
  expect_agreement({0x61});        // popad
  expect_agreement({0x66, 0x61});  // popa
}

// A handler that goes on at INT3 by IRET with RF set: the trap's own frame has RF clear.
using InterpretedRegressions = InterpreterFixture;
TEST_F(InterpretedRegressions, SoftwareInterruptClearsTheResumeFlag) {
  state.eflags |= kFlagRf;
  EXPECT_EQ(step({0xcc}).kind, StepKind::SoftwareEvent);
  EXPECT_EQ(state.eflags & kFlagRf, 0U);
}

}  // namespace
}  // namespace ringshift::differential

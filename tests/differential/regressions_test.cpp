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

// PE beside an unmasked overflow or underflow: whether the result is exact but for its exponent.
TEST_F(Regressions, PrecisionBesideAnUnmaskedOverflowOrUnderflow) {
  const auto set_xmm = [this](size_t number, std::initializer_list<uint32_t> words) {
    size_t at = 160 + 16 * number;
    for (const uint32_t word : words) {
      std::memcpy(&test_.start.fxsave[at], &word, sizeof(word));
      at += sizeof(word);
    }
  };
  const uint32_t kHuge = 0x7f000000, kHugeOdd = 0x7f000001, kTiny = 0x00800000,
                 kTinyOdd = 0x00800001, kThird = 0x3eaaaaab, kHalf = 0x3f000000, kOne = 0x3f800000;
  constexpr uint8_t kAdd = 0x58, kSubtract = 0x5c, kMultiply = 0x59, kDivide = 0x5e;
  constexpr uint16_t kUnmasked[] = {0x1b80, 0x1780, 0x1380, 0x1f80, 0x3b80, 0x17c0};
  for (const uint16_t mxcsr : kUnmasked) {
    set16(kMxcsr, mxcsr);
    for (const uint8_t operation : {kAdd, kSubtract, kMultiply, kDivide}) {
      for (const uint32_t left : {kHuge, kHugeOdd, kTiny, kTinyOdd}) {
        for (const uint32_t right : {kHuge, kHugeOdd, kTiny, kThird, kHalf}) {
          set_xmm(0, {left, kOne, kTinyOdd, kOne});
          set_xmm(1, {right, kOne, kHalf, kHalf});
          expect_agreement({0xf3, 0x0f, operation, 0xc1});  // scalar
          expect_agreement({0x0f, operation, 0xc1});        // packed
          if (HasFailure()) return;
        }
      }
    }
    set_xmm(0, {1, 0x7fe00000, 0, 0x00100000});
    set_xmm(1, {3, 0x40080000, 7, 0x3fd00000});
    for (const uint8_t operation : {kAdd, kSubtract, kMultiply, kDivide}) {
      expect_agreement({0xf2, 0x0f, operation, 0xc1});
      expect_agreement({0x66, 0x0f, operation, 0xc1});
    }
    expect_agreement({0xf2, 0x0f, 0x5a, 0xc0});  // cvtsd2ss xmm0, xmm0
    expect_agreement({0x66, 0x0f, 0x5a, 0xc0});  // cvtpd2ps
    expect_agreement({0xf2, 0x0f, 0xd0, 0xc1});  // addsubps
    expect_agreement({0x66, 0x0f, 0x7c, 0xc1});  // haddpd
  }
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

// BMI1 on the processor itself, in the interpreter and translated both ways: results and all
// arithmetic flags, those that the manual leaves undefined included.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "monitor/cpu/cpu_model.h"
#include "tests/differential/comparison.h"

namespace ringshift::differential {
namespace {

using Bytes = std::vector<uint8_t>;

class Bmi1 : public testing::Test {
 protected:
  void SetUp() override {
    if (!host_has_bmi1()) GTEST_SKIP() << "the host has no BMI1, so no guest has";
    std::string error;
    comparison_ = Comparison::create(&error);
    ASSERT_NE(comparison_, nullptr) << error;
    test_.start.eip = kCodeBase;
    test_.start.gpr.fill(kDataMiddle);
    constexpr uint16_t kFcw = 0x37f, kMxcsr = 0x1f80;
    std::memcpy(test_.start.fxsave.data(), &kFcw, sizeof(kFcw));
    std::memcpy(&test_.start.fxsave[24], &kMxcsr, sizeof(kMxcsr));
  }

  // EAX and EDX hold the operands, EBX points to one; once from clear flags and once from set ones.
  void expect_agreement(const Bytes& code, uint32_t first, uint32_t second) {
    for (const uint32_t flags : {0U, kFlagsArithmetic}) {
      for (const uint64_t seed : {0U, 1U}) {  // CPL 0 and CPL 3
        test_.seed = seed;
        test_.start.eflags = kFlagReservedOne | kFlagIf | flags;
        test_.start.gpr[0] = first;
        test_.start.gpr[2] = second;
        test_.start.gpr[3] = kDataBase + 0x100;
        // mov [ebx], eax: the memory operand
        test_.pieces = {{{0x89, 0x03}}, {code}};
        ASSERT_TRUE(comparison_->agrees(test_)) << comparison_->describe(test_);
        expect_the_same_flags();
        if (HasFailure()) FAIL() << comparison_->describe(test_);
      }
    }
  }
  void expect_agreement(const Bytes& code) {
    constexpr uint32_t kOperands[] = {0,          1,          0x80000000, 0xffffffff, 0x10000,
                                      0x12340000, 0x0000ff00, 0x7fffffff, 0x00000804, 0x0000ff1f,
                                      0x00002000, 0xdeadbeef, 0x00000020, 0x00008000};
    for (const uint32_t first : kOperands) {
      for (const uint32_t second : kOperands) {
        expect_agreement(code, first, second);
        if (HasFatalFailure()) return;
      }
    }
  }

 private:
  void expect_the_same_flags() const {
    const uint32_t flags = comparison_->expected().outcome.eflags & kFlagsArithmetic;
    EXPECT_EQ(comparison_->expected().outcome.vector, kStopped);
    for (const auto& run : comparison_->runs()) {
      EXPECT_EQ(run.outcome.eflags & kFlagsArithmetic, flags) << run.name;
    }
  }
  Case test_;
  std::unique_ptr<Comparison> comparison_;
};

TEST_F(Bmi1, TzcntAndWhatOtherPrefixesMakeOfIt) {
  for (const Bytes& prefixes : std::vector<Bytes>{{0xf3},
                                                  {0xf2},
                                                  {0xf2, 0xf3},
                                                  {0xf3, 0xf2},
                                                  {0x66, 0xf3},
                                                  {0xf3, 0x66},
                                                  {0xf3, 0x66, 0xf2},
                                                  {0xf2, 0x66, 0xf3}}) {
    for (const uint8_t modrm : Bytes{0xc8, 0x0b}) {  // ecx from eax and from [ebx]
      Bytes code = prefixes;
      code.insert(code.end(), {0x0f, 0xbc, modrm});
      expect_agreement(code);
    }
  }
}

TEST_F(Bmi1, VexForms) {
  for (const uint8_t source : Bytes{0xc0, 0x03}) {  // eax and [ebx]
    const auto modrm = [source](unsigned reg) { return static_cast<uint8_t>(source | reg << 3); };
    expect_agreement({0xc4, 0xe2, 0x68, 0xf2, modrm(1)});  // andn ecx, edx, source
    expect_agreement({0xc4, 0xe2, 0x68, 0xf7, modrm(1)});  // bextr ecx, source, edx
    expect_agreement({0xc4, 0xe2, 0x70, 0xf3, modrm(1)});  // blsr ecx, source
    expect_agreement({0xc4, 0xe2, 0x70, 0xf3, modrm(2)});  // blsmsk ecx, source
    expect_agreement({0xc4, 0xe2, 0x70, 0xf3, modrm(3)});  // blsi ecx, source
  }
}

// B, W and the upper bit of vvvv.
TEST_F(Bmi1, VexBitsOfSixtyFourBitModeSayNothing) {
  expect_agreement({0xc4, 0xc2, 0x68, 0xf2, 0xc8});
  expect_agreement({0xc4, 0xe2, 0xe8, 0xf7, 0xc8});
  expect_agreement({0xc4, 0xe2, 0x28, 0xf2, 0xc8});
  expect_agreement({0xc4, 0xc2, 0xb0, 0xf3, 0xdb});
}

}  // namespace
}  // namespace ringshift::differential

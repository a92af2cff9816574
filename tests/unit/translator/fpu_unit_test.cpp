#include "translator/fpu_unit.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace ringshift {
namespace {

class FpuUnitTest : public testing::Test {
 protected:
  FpuUnitTest() {
    std::string error;
    unit_ = FpuUnit::create(&error);
    EXPECT_NE(unit_, nullptr) << error;
    set<uint16_t>(0, 0x37f);
    set<uint32_t>(24, 0x1f80);
  }
  FpuUnitRunner::Outcome run(const std::vector<uint8_t>& bytes, uint8_t* memory = nullptr) {
    return unit_->run({bytes.data(), static_cast<uint8_t>(bytes.size()), memory, &state_, false});
  }
  template <typename T>
  void set(size_t offset, T value) {
    std::memcpy(state_.fxsave.data() + offset, &value, sizeof(T));
  }
  template <typename T>
  [[nodiscard]] T field(size_t offset) const {
    T value;
    std::memcpy(&value, state_.fxsave.data() + offset, sizeof(T));
    return value;
  }
  std::unique_ptr<FpuUnit> unit_;
  GuestState state_;
  alignas(64) std::array<uint8_t, 512> memory_{};
};

TEST_F(FpuUnitTest, MemoryOperandIsTheBufferWhateverItsAddressForm) {
  memory_[0] = 42;
  // fild word fs:[ebx+esi*4+0x1234]
  EXPECT_EQ(run({0x64, 0xdf, 0x84, 0xb3, 0x34, 0x12, 0, 0}, memory_.data()),
            FpuUnitRunner::Outcome::Done);
  EXPECT_EQ(field<uint64_t>(32), 42ULL << 58);  // 42 = 1.3125 * 2^5
}

// With the REX prefix that its register needs the host's instruction would have 16 bytes.
TEST_F(FpuUnitTest, RepeatedPrefixesDoNotMakeAnInstructionTooLongForTheHost) {
  for (const uint8_t prefix : {uint8_t{0xf2}, uint8_t{0xf3}}) {
    std::vector<uint8_t> code(12, prefix);
    code.insert(code.end(), {0x0f, 0x2a, 0xc4});  // cvtsi2sd or cvtsi2ss xmm0, esp
    state_.reg(Gpr::Esp) = 3;
    EXPECT_EQ(run(code), FpuUnitRunner::Outcome::Done);
    state_.reg(Gpr::Edx) = 0;
    code.resize(12);
    code.insert(code.end(), {0x0f, 0x2c, 0xd0});  // cvttsd2si or cvttss2si edx, xmm0
    EXPECT_EQ(run(code), FpuUnitRunner::Outcome::Done);
    EXPECT_EQ(state_.reg(Gpr::Edx), 3U);
  }
}

TEST_F(FpuUnitTest, OneThunkServesEveryRepetition) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run({0x0f, 0x57, 0xc0}), FpuUnitRunner::Outcome::Done);
  EXPECT_EQ(unit_->thunks(), 1U);
}

TEST_F(FpuUnitTest, ArenaIsReusedWhenItIsFull) {
  for (unsigned i = 0; i < 0x1800; ++i) {
    const auto low = static_cast<uint8_t>(i);
    const auto high = static_cast<uint8_t>(i >> 8);
    memory_[0] = 7;
    ASSERT_EQ(run({0x0f, 0x6e, 0x80, low, high, 0, 0}, memory_.data()),  // movd mm0, [eax+disp]
              FpuUnitRunner::Outcome::Done);
    ASSERT_EQ(field<uint64_t>(32), 7U);
  }
}

TEST_F(FpuUnitTest, InstructionsOfOtherUnitsAreRefused) {
  EXPECT_EQ(run({0x01, 0xd8}), FpuUnitRunner::Outcome::NotSupported);              // add eax, ebx
  EXPECT_EQ(run({0x0f, 0xa2}), FpuUnitRunner::Outcome::NotSupported);              // cpuid
  EXPECT_EQ(run({0x0f, 0xf7, 0xc1}), FpuUnitRunner::Outcome::NotSupported);        // maskmovq
  EXPECT_EQ(run({0xc5, 0xf8, 0x58, 0xc1}), FpuUnitRunner::Outcome::NotSupported);  // vaddps
}

TEST_F(FpuUnitTest, HostStateSurvivesUnmaskedGuestExceptions) {
  set<uint16_t>(0, 0x300);                                     // everything unmasked
  EXPECT_EQ(run({0xd9, 0xee}), FpuUnitRunner::Outcome::Done);  // fldz
  EXPECT_EQ(run({0xd8, 0xf0}), FpuUnitRunner::Outcome::Done);  // fdiv st0, st0: invalid
  EXPECT_EQ(field<uint16_t>(2) & 0x8081, 0x8081);
  volatile long double one = 1.0L;
  EXPECT_EQ(one / 2.0L, 0.5L);
}

TEST_F(FpuUnitTest, PendingExceptionSetAsideStaysPending) {
  set<uint16_t>(0, 0x300);
  set<uint16_t>(2, 0x8081);
  EXPECT_EQ(run({0xd9, 0xe8}), FpuUnitRunner::Outcome::Done);  // fld1
  EXPECT_EQ(field<uint16_t>(2) & 0x8081, 0x8081);
}

}  // namespace
}  // namespace ringshift

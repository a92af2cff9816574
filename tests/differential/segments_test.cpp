// Segments that are not flat, on the processor itself, in the interpreter and in the vCPU loop:
// random stack instructions on a 16-bit stack, where SP wraps and ESP's upper half stays; and every
// instruction that reads and may write, through a segment that is read-only.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/differential/comparison.h"
#include "tests/differential/random.h"
#include "tests/differential/settings.h"

namespace ringshift::differential {
namespace {

constexpr uint64_t kCases = 20000;
constexpr uint8_t kEnter = 0xc8;
constexpr size_t kEbx = 3, kEsp = 4, kEbp = 5;

using Bytes = std::vector<uint8_t>;

// One of each; ENTER is made by hand. ESP-based operands address the stack segment. Without POPA:
// what it has loaded when it faults, and whether it looks at ESP's slot, is the processor's choice.
const std::vector<Bytes>& stack_instructions() {
  static const std::vector<Bytes> all = {
      {0x50},                                   // push eax
      {0x54},                                   // push esp
      {0x66, 0x51},                             // push cx
      {0x66, 0x54},                             // push sp
      {0x5a},                                   // pop edx
      {0x66, 0x58},                             // pop ax
      {0x68, 1, 2, 3, 4},                       // push imm32
      {0x66, 0x68, 5, 6},                       // push imm16
      {0x6a, 0x80},                             // push imm8
      {0x66, 0x6a, 0x7f},                       // push imm8, word
      {0xff, 0x33},                             // push dword [ebx]
      {0x66, 0xff, 0x33},                       // push word [ebx]
      {0xff, 0x74, 0x24, 4},                    // push dword [esp+4]
      {0x8f, 0x03},                             // pop dword [ebx]
      {0x66, 0x8f, 0x03},                       // pop word [ebx]
      {0x8f, 0x44, 0x24, 8},                    // pop dword [esp+8]
      {0x60},                                   // pushad
      {0x66, 0x60},                             // pushaw
      {0x66, 0x9c},                             // pushfw
      {0xc9},                                   // leave
      {0x66, 0xc9},                             // leave, word
      {0xe8, 0, 0, 0, 0},                       // call to the next
      {0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3},        // call, ret
      {0xe8, 2, 0, 0, 0, 0xeb, 3, 0xc2, 8, 0},  // call, ret 8
      {0x8b, 0x45, 0xfc},                       // mov eax, [ebp-4]
      {0x8b, 0x04, 0x24},                       // mov eax, [esp]
      {0x89, 0x4c, 0x24, 0xfe},                 // mov [esp-2], ecx
  };
  return all;
}

Bytes enter(Random& random) {
  constexpr std::array<uint8_t, 8> kLevels = {0, 0, 0, 1, 1, 2, 3, 31};
  Bytes bytes;
  if (random.one_in(3)) bytes.push_back(0x66);
  const auto size = static_cast<uint16_t>(random.one_in(2) ? random.below(32) : random.word());
  bytes.insert(bytes.end(), {kEnter, static_cast<uint8_t>(size), static_cast<uint8_t>(size >> 8),
                             kLevels[random.below(kLevels.size())]});
  return bytes;
}

// Stack pointers: near the ends of SP, odd ones, and any.
uint32_t stack_pointer(Random& random) {
  const uint32_t upper = random.one_in(4) ? 0 : random.word() & 0xffff0000U;
  const uint32_t near = (random.below(24) - 12U) & 0xffffU;
  const uint32_t lower = random.one_in(2) ? near : random.word() & 0xffffU;
  return upper | (random.one_in(4) ? lower : lower & ~3U);
}

class Segmented : public testing::Test {
 protected:
  void SetUp() override {
    std::string error;
    comparison_ = Comparison::create(&error);
    ASSERT_NE(comparison_, nullptr) << error;
    if (!comparison_->has_segments()) GTEST_SKIP() << "the host has no modify_ldt";
  }
  static Case start(uint64_t seed, Segments segments) {
    Case test;
    test.seed = seed;
    test.start.segments = segments;
    test.start.eip = kCodeBase;
    test.start.eflags = kFlagReservedOne | kFlagIf;
    test.start.fxsave[0] = 0x7f;
    test.start.fxsave[1] = 3;
    test.start.fxsave[24] = 0x80;
    test.start.fxsave[25] = 0x1f;
    return test;
  }
  void expect_agreement(const Case& test) {
    EXPECT_TRUE(comparison_->agrees(test)) << comparison_->report(test);
  }

  std::unique_ptr<Comparison> comparison_;
};

TEST_F(Segmented, RandomStackInstructionsAgreeOnASixteenBitStack) {
  const Settings settings = Settings::read(kCases);
  for (uint64_t i = settings.first; i < settings.end && !HasFailure(); ++i) {
    Random random(case_seed(settings.seed, i));
    Case test = start(case_seed(settings.seed, i), Segments::NarrowStack);
    for (uint32_t& value : test.start.gpr) value = random.value();
    test.start.gpr[kEbx] = kDataBase + random.below(0x8000);
    test.start.gpr[kEsp] = stack_pointer(random);
    test.start.gpr[kEbp] = stack_pointer(random);
    for (uint32_t count = 1 + random.below(5); count > 0; --count) {
      const auto& all = stack_instructions();
      test.pieces.push_back({random.one_in(5)
                                 ? enter(random)
                                 : all[random.below(static_cast<uint32_t>(all.size()))]});
    }
    SCOPED_TRACE("case " + std::to_string(i));
    expect_agreement(test);
  }
}

// Each on a segment that may not be written, with its write due and not due: most ask for the right
// whatever they find, ARPL does not.
TEST_F(Segmented, WhatMayWriteAgreesOnAReadOnlySegment) {
  const std::vector<Bytes> operations = {
      {0x89, 0x13},           // mov [ebx], edx
      {0x63, 0x13},           // arpl
      {0x0f, 0xb1, 0x13},     // cmpxchg
      {0x0f, 0xb0, 0x13},     // cmpxchg, byte
      {0x0f, 0xc7, 0x0b},     // cmpxchg8b
      {0x0f, 0xc1, 0x13},     // xadd
      {0x87, 0x13},           // xchg
      {0xd3, 0x23},           // shl by cl
      {0xc1, 0x23, 0},        // shl by 0
      {0xc1, 0x23, 32},       // shl by 32
      {0xd2, 0x13},           // rcl by cl, byte
      {0xd3, 0x03},           // rol by cl
      {0x0f, 0xa5, 0x13},     // shld by cl
      {0x0f, 0xa4, 0x13, 0},  // shld by 0
      {0x0f, 0xac, 0x13, 0},  // shrd by 0
      {0x0f, 0xab, 0x13},     // bts
      {0x0f, 0xb3, 0x13},     // btr
      {0x0f, 0xba, 0x3b, 1},  // btc
      {0x0f, 0xa3, 0x13},     // bt
      {0x01, 0x13},           // add
      {0x83, 0x0b, 0},        // or with 0
      {0x39, 0x13},           // cmp
      {0x0f, 0x94, 0x03},     // setz
      {0x0f, 0x44, 0x13},     // cmovz
      {0x8f, 0x03},           // pop
      {0x8c, 0x1b},           // mov [ebx], ds
      {0x0f, 0xae, 0x3b},     // clflush
      {0x0f, 0x0d, 0x0b},     // prefetchw
      {0x62, 0x13},           // bound
  };
  for (const Bytes& operation : operations) {
    for (uint64_t seed = 1; seed <= 64; ++seed) {
      Random random(seed);
      Case test = start(seed, Segments::ReadOnlyEs);
      for (uint32_t& value : test.start.gpr) value = random.one_in(2) ? 0 : random.value();
      test.start.gpr[kEbx] = kDataBase + random.below(64) * 16;
      test.start.gpr[kEsp] = kDataMiddle;
      Bytes code = {0x26};
      code.insert(code.end(), operation.begin(), operation.end());
      test.pieces.push_back({code});
      expect_agreement(test);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace ringshift::differential

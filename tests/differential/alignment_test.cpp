// Alignment checks (SDM 3A 6.15): code at CPL 3 with CR0.AM and EFLAGS.AC on the processor itself,
// in the interpreter and in the vCPU loop: what is asked of which operand, and which fault comes
// first.
#include <gtest/gtest.h>

#include "tests/differential/comparison.h"
#include "tests/differential/random.h"
#include "tests/differential/settings.h"

namespace ringshift::differential {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kEbx = 3, kEsp = 4, kEbp = 5, kEsi = 6, kEdi = 7;
constexpr uint32_t kAlignmentCheck = 17;

class Aligned : public testing::Test {
 protected:
  Aligned() {
    std::string error;
    comparison_ = Comparison::create(&error);
    EXPECT_NE(comparison_, nullptr) << error;
  }
  // EBX, ESI, EDI, ESP and EBP are all `misalignment` bytes beyond a multiple of 64.
  static Case start(uint32_t misalignment) {
    constexpr uint8_t kOnlyMasked = 0x7f, kThree = 3;
    Case test;
    test.start.eip = kCodeBase;
    test.start.eflags = kFlagReservedOne | kFlagIf | kFlagAc;
    for (const size_t reg : {kEbx, kEsp, kEbp, kEsi, kEdi}) {
      test.start.gpr[reg] = kDataMiddle + misalignment;
    }
    test.start.fxsave[0] = kOnlyMasked;
    test.start.fxsave[1] = kThree;
    test.start.fxsave[24] = 0x80;
    test.start.fxsave[25] = 0x1f;
    return test;
  }
  void expect_agreement(const Case& test) {
    EXPECT_TRUE(comparison_->agrees(test)) << comparison_->describe(test);
  }
  std::unique_ptr<Comparison> comparison_;
};

// An instruction with [EBX] as its operand, or one that uses ESP, ESI or EDI; the alignment asked.
struct Asked {
  Bytes code;
  uint32_t alignment;
};
const std::vector<Asked>& instructions() {
  static const std::vector<Asked> all = {
      {{0x66, 0x8b, 0x03}, 2},                 // mov ax, [ebx]
      {{0x8b, 0x03}, 4},                       // mov eax, [ebx]
      {{0x0f, 0xc7, 0x0b}, 8},                 // cmpxchg8b [ebx]
      {{0x0f, 0xa3, 0x03}, 4},                 // bt [ebx], eax
      {{0x66, 0x0f, 0xab, 0x03}, 2},           // bts word [ebx], ax
      {{0x62, 0x03}, 4},                       // bound eax, [ebx]
      {{0x66, 0xc4, 0x03}, 2},                 // les ax, [ebx]
      {{0x63, 0x03}, 2},                       // arpl [ebx], ax
      {{0x0f, 0x02, 0x03}, 2},                 // lar eax, [ebx]
      {{0x0f, 0x00, 0x23}, 2},                 // verr [ebx]
      {{0x8c, 0x1b}, 2},                       // mov [ebx], ds
      {{0xd7}, 1},                             // xlat
      {{0x50}, 4},                             // push eax
      {{0x66, 0x50}, 2},                       // push ax
      {{0x9c}, 4},                             // pushfd
      {{0x60}, 4},                             // pushad
      {{0x66, 0x60}, 2},                       // pusha
      {{0x61, 0x31, 0xe4}, 4},                 // popad; xor esp, esp
      {{0xc9}, 4},                             // leave
      {{0xe8, 0, 0, 0, 0}, 4},                 // call
      {{0xff, 0x33}, 4},                       // push dword [ebx]
      {{0x8f, 0x03}, 4},                       // pop dword [ebx]
      {{0xa5}, 4},                             // movsd
      {{0x66, 0xa7}, 2},                       // cmpsw
      {{0xab}, 4},                             // stosd
      {{0xd9, 0x03}, 4},                       // fld dword [ebx]
      {{0xdd, 0x03}, 8},                       // fld qword [ebx]
      {{0xdb, 0x2b}, 8},                       // fld tbyte [ebx]
      {{0xd9, 0x1b}, 4},                       // fstp dword [ebx]
      {{0xdd, 0x1b}, 8},                       // fstp qword [ebx]
      {{0xdb, 0x3b}, 8},                       // fstp tbyte [ebx]
      {{0xdf, 0x03}, 2},                       // fild word [ebx]
      {{0xdb, 0x03}, 4},                       // fild dword [ebx]
      {{0xdf, 0x2b}, 8},                       // fild qword [ebx]
      {{0xdf, 0x23}, 8},                       // fbld [ebx]
      {{0xdf, 0x33}, 8},                       // fbstp [ebx]
      {{0xdd, 0x0b}, 8},                       // fisttp qword [ebx]
      {{0xd8, 0x03}, 4},                       // fadd dword [ebx]
      {{0xde, 0x03}, 2},                       // fiadd word [ebx]
      {{0xd9, 0x2b}, 2},                       // fldcw [ebx]
      {{0xd9, 0x3b}, 2},                       // fnstcw [ebx]
      {{0xdd, 0x3b}, 2},                       // fnstsw [ebx]
      {{0xd9, 0x33}, 4},                       // fnstenv [ebx]
      {{0x66, 0xd9, 0x33}, 2},                 // fnstenv [ebx], 16-bit
      {{0xdd, 0x33}, 4},                       // fnsave [ebx]
      {{0x66, 0xdd, 0x33}, 2},                 // fnsave [ebx], 16-bit
      {{0x0f, 0xae, 0x1b}, 4},                 // stmxcsr [ebx]
      {{0x0f, 0x6e, 0x03}, 4},                 // movd mm0, [ebx]
      {{0x0f, 0x6f, 0x03}, 8},                 // movq mm0, [ebx]
      {{0x0f, 0x7f, 0x03}, 8},                 // movq [ebx], mm0
      {{0x0f, 0xfe, 0x03}, 8},                 // paddd mm0, [ebx]
      {{0x0f, 0x60, 0x03}, 4},                 // punpcklbw mm0, [ebx]
      {{0x0f, 0xc4, 0x03, 1}, 2},              // pinsrw mm0, [ebx], 1
      {{0x0f, 0x2a, 0x03}, 8},                 // cvtpi2ps xmm0, [ebx]
      {{0xf3, 0x0f, 0x10, 0x03}, 4},           // movss xmm0, [ebx]
      {{0xf2, 0x0f, 0x11, 0x03}, 8},           // movsd [ebx], xmm0
      {{0x0f, 0x12, 0x03}, 8},                 // movlps xmm0, [ebx]
      {{0x0f, 0x17, 0x03}, 8},                 // movhps [ebx], xmm0
      {{0xf3, 0x0f, 0x2a, 0x03}, 4},           // cvtsi2ss xmm0, [ebx]
      {{0xf3, 0x0f, 0xe6, 0x03}, 8},           // cvtdq2pd xmm0, [ebx]
      {{0x0f, 0xc3, 0x03}, 4},                 // movnti [ebx], eax
      {{0x66, 0x0f, 0x3a, 0x15, 0x03, 1}, 2},  // pextrw [ebx], xmm0, 1
      {{0x66, 0x0f, 0x3a, 0x21, 0x03, 0}, 4},  // insertps xmm0, [ebx], 0
      {{0x66, 0x0f, 0x38, 0x22, 0x03}, 2},     // pmovsxbq xmm0, [ebx]
      {{0x66, 0x0f, 0x38, 0x20, 0x03}, 8},     // pmovsxbw xmm0, [ebx]
      {{0xf2, 0x0f, 0x12, 0x03}, 8},           // movddup xmm0, [ebx]
      {{0xf2, 0x0f, 0x38, 0xf1, 0x03}, 4},     // crc32 eax, dword [ebx]
  };
  return all;
}

TEST_F(Aligned, EachOperandIsAskedForItsOwnAlignment) {
  for (const Asked& asked : instructions()) {
    for (uint32_t misalignment = 0; misalignment < 16; ++misalignment) {
      Case test = start(misalignment);
      test.pieces = {{asked.code}};
      expect_agreement(test);
      const bool checked = comparison_->expected().outcome.vector == kAlignmentCheck;
      EXPECT_EQ(checked, misalignment % asked.alignment != 0) << "at " << misalignment << "\n"
                                                              << comparison_->describe(test);
      if (HasFailure()) return;
    }
  }
}

// 128 bits that have to be aligned are #GP; a limit is looked at before, a page afterwards.
TEST_F(Aligned, OtherFaultsOfAMisalignedOperandComeInTheirOrder) {
  constexpr uint32_t kGeneralProtection = 13;
  Case test = start(8);
  test.pieces = {{{0x0f, 0x28, 0x03}}};  // movaps xmm0, [ebx]
  expect_agreement(test);
  EXPECT_EQ(comparison_->expected().outcome.vector, kGeneralProtection);
  for (const Bytes& code : {Bytes{0x8b, 0x03}, Bytes{0xdd, 0x03}, Bytes{0x0f, 0x6f, 0x03}}) {
    test.pieces = {{code}};
    test.start.gpr[kEbx] = kHole + 2;
    expect_agreement(test);
    EXPECT_EQ(comparison_->expected().outcome.vector, kAlignmentCheck);
  }
}

TEST_F(Aligned, RandomCodeAgreesUntilItIsMisaligned) {
  constexpr uint64_t kCases = 4000;
  const Settings settings = Settings::read(kCases);
  uint64_t checks = 0;
  for (uint64_t i = settings.first; i < settings.end && !HasFailure(); ++i) {
    const Case test = generate(case_seed(settings.seed, i), comparison_->oracle(), Segments::Flat,
                               Alignment::Checked);
    const bool agrees = comparison_->agrees(test);
    if (comparison_->expected().outcome.vector == kAlignmentCheck) ++checks;
    EXPECT_TRUE(agrees) << "case " << i << "\n" << comparison_->report(test);
  }
  if (settings.end - settings.first >= kCases) {
    EXPECT_GT(checks, kCases / 10);
  }
}

}  // namespace
}  // namespace ringshift::differential

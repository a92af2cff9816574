#include "translator/user_sensitivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace ringshift {
namespace {

using Bytes = std::vector<uint8_t>;

struct Case {
  const char* text;
  Bytes bytes;
};

bool runs(const Bytes& bytes, const TranslatorFeatures& features = {}) {
  GuestInstruction instruction;
  EXPECT_EQ(decode(bytes, DecodeMode::Bits32, &instruction), DecodeOutcome::Ok);
  return runs_directly(instruction.facts, features);
}

TEST(UserSensitivity, OrdinaryInstructionsRunDirectly) {
  const std::vector<Case> cases = {
      {"add eax, ecx", {0x01, 0xc8}},
      {"mov eax, [ebx]", {0x8b, 0x03}},
      {"mov eax, gs:[0]", {0x65, 0xa1, 0, 0, 0, 0}},  // an override loads no segment
      {"mov fs:[4], eax", {0x64, 0xa3, 4, 0, 0, 0}},
      {"push eax", {0x50}},
      {"pusha", {0x60}},
      {"call near", {0xe8, 0, 0, 0, 0}},
      {"ret", {0xc3}},
      {"jmp [eax]", {0xff, 0x20}},
      {"pushf", {0x9c}},  // IF is set and IOPL 0: it shows what the guest's would
      {"popf", {0x9d}},
      {"rep movsd", {0xf3, 0xa5}},
      {"fld1", {0xd9, 0xe8}},
      {"fnsave [eax]", {0xdd, 0x30}},
      {"fxsave [eax]", {0x0f, 0xae, 0x00}},
      {"addps xmm0, xmm1", {0x0f, 0x58, 0xc1}},
      {"lock cmpxchg [ecx], edx", {0xf0, 0x0f, 0xb1, 0x11}},
      {"bsf eax, ecx", {0x0f, 0xbc, 0xc1}},
      {"xlat", {0xd7}},
      {"arpl ax, cx", {0x63, 0xc8}},
  };
  for (const Case& each : cases) EXPECT_TRUE(runs(each.bytes)) << each.text;
}

TEST(UserSensitivity, WhatTrapsRunsDirectlyBecauseTheTrapComesBack) {
  const std::vector<Case> cases = {
      {"int 0x80", {0xcd, 0x80}},
      {"int3", {0xcc}},
      {"hlt", {0xf4}},
      {"cli", {0xfa}},
      {"sti", {0xfb}},
      {"in al, dx", {0xec}},
      {"out 0x20, al", {0xe6, 0x20}},
      {"cpuid", {0x0f, 0xa2}},
      {"rdtsc", {0x0f, 0x31}},
      {"mov eax, cr0", {0x0f, 0x20, 0xc0}},
      {"clts", {0x0f, 0x06}},
      {"lgdt [eax]", {0x0f, 0x01, 0x10}},
      {"ud2", {0x0f, 0x0b}},
      {"bound eax, [ecx]", {0x62, 0x01}},
  };
  for (const Case& each : cases) EXPECT_TRUE(runs(each.bytes)) << each.text;
}

TEST(UserSensitivity, TrapsOfUnknownPlaceDoNot) {
  EXPECT_FALSE(runs({0xf1})) << "icebp";
  EXPECT_FALSE(runs({0xce}));
  EXPECT_FALSE(runs({0xcd, 4}));
  EXPECT_TRUE(runs({0xcd, 5}));
}

TEST(UserSensitivity, LoadsAndShowsOfSegmentsDoNot) {
  const std::vector<Case> cases = {
      {"mov ds, eax", {0x8e, 0xd8}},
      {"mov gs, [eax]", {0x8e, 0x28}},
      {"mov eax, gs", {0x8c, 0xe8}},
      {"mov [eax], cs", {0x8c, 0x08}},
      {"push cs", {0x0e}},
      {"push gs", {0x0f, 0xa8}},
      {"pop ds", {0x1f}},
      {"pop fs", {0x0f, 0xa1}},
      {"lds eax, [ecx]", {0xc5, 0x01}},
      {"les eax, [ecx]", {0xc4, 0x01}},
      {"lfs eax, [ecx]", {0x0f, 0xb4, 1}},
      {"lgs eax, [ecx]", {0x0f, 0xb5, 1}},
      {"lss eax, [ecx]", {0x0f, 0xb2, 1}},
      {"push es, 16 bits", {0x66, 0x06}},
  };
  for (const Case& each : cases) EXPECT_FALSE(runs(each.bytes)) << each.text;
}

TEST(UserSensitivity, FarTransfersDoNot) {
  const std::vector<Case> cases = {
      {"jmp 0x33:0", {0xea, 0, 0, 0, 0, 0x33, 0}},
      {"call 0x33:0", {0x9a, 0, 0, 0, 0, 0x33, 0}},
      {"jmp far [eax]", {0xff, 0x28}},
      {"call far [eax]", {0xff, 0x18}},
      {"retf", {0xcb}},
      {"retf 4", {0xca, 4, 0}},
      {"iret", {0xcf}},
      {"iret, 16 bits", {0x66, 0xcf}},
      {"sysenter", {0x0f, 0x34}},
      {"syscall", {0x0f, 0x05}},
  };
  for (const Case& each : cases) EXPECT_FALSE(runs(each.bytes)) << each.text;
}

TEST(UserSensitivity, WhatAnswersForTheHostDoesNot) {
  const std::vector<Case> cases = {
      {"sgdt [eax]", {0x0f, 0x01, 0x00}},   {"sidt [eax]", {0x0f, 0x01, 0x08}},
      {"sldt eax", {0x0f, 0x00, 0xc0}},     {"str eax", {0x0f, 0x00, 0xc8}},
      {"smsw eax", {0x0f, 0x01, 0xe0}},     {"smsw [eax]", {0x0f, 0x01, 0x20}},
      {"lar eax, ecx", {0x0f, 0x02, 0xc1}}, {"lsl eax, ecx", {0x0f, 0x03, 0xc1}},
      {"verr ax", {0x0f, 0x00, 0xe0}},      {"verw ax", {0x0f, 0x00, 0xe8}},
  };
  for (const Case& each : cases) EXPECT_FALSE(runs(each.bytes)) << each.text;
}

TEST(UserSensitivity, WhatTheGuestsProcessorLacksDoesNot) {
  const std::vector<Case> cases = {
      {"wrpkru", {0x0f, 0x01, 0xef}},
      {"rdpkru", {0x0f, 0x01, 0xee}},
      {"xgetbv", {0x0f, 0x01, 0xd0}},
      {"xsave [eax]", {0x0f, 0xae, 0x20}},
      {"rdrand eax", {0x0f, 0xc7, 0xf0}},
      {"rdseed eax", {0x0f, 0xc7, 0xf8}},
      {"vaddps ymm0, ymm1, ymm2", {0xc5, 0xf4, 0x58, 0xc2}},
      {"andn eax, ecx, edx", {0xc4, 0xe2, 0x70, 0xf2, 0xc2}},
  };
  for (const Case& each : cases) {
    GuestInstruction instruction;
    const DecodeOutcome outcome = decode(each.bytes, DecodeMode::Bits32, &instruction);
    // One that is not decoded at all is never called an instruction that may run.
    EXPECT_FALSE(outcome == DecodeOutcome::Ok && runs_directly(instruction.facts, {})) << each.text;
  }
}

TEST(UserSensitivity, AnOlderProcessorHasFewerInstructions) {
  TranslatorFeatures old;
  old.sse2_and_later = false;
  const Bytes addpd = {0x66, 0x0f, 0x58, 0xc1};
  const Bytes addps = {0x0f, 0x58, 0xc1};
  EXPECT_TRUE(runs(addpd));
  EXPECT_FALSE(runs(addpd, old));
  EXPECT_TRUE(runs(addps, old));
}

TEST(UserSensitivity, RepeatedBitScansAreOtherInstructionsToday) {
  const Bytes rep_bsf = {0xf3, 0x0f, 0xbc, 0xc1};
  const Bytes rep_bsr = {0xf3, 0x0f, 0xbd, 0xc1};
  TranslatorFeatures with_tzcnt;
  with_tzcnt.tzcnt = true;
  EXPECT_FALSE(runs(rep_bsf));
  EXPECT_TRUE(runs(rep_bsf, with_tzcnt));
  EXPECT_FALSE(runs(rep_bsr));
  EXPECT_FALSE(runs(rep_bsr, with_tzcnt));
}

// A page of NOPs, with NOPs around it.
class Page {
 public:
  explicit Page(uint32_t before = kBytesBeforePage, uint32_t after = kMaxInstructionBytes)
      : before_(before), bytes_(before + kPageSize + after, kNop) {}
  // at: offset in the page; negative: before it. Bytes that do not fit behind it are left out.
  Page& put(int at, const Bytes& what) {
    const auto first = static_cast<size_t>(static_cast<int>(before_) + at);
    std::copy_n(what.begin(), std::min(what.size(), bytes_.size() - first),
                bytes_.begin() + static_cast<std::ptrdiff_t>(first));
    return *this;
  }
  [[nodiscard]] CodePageBytes code() const {
    CodePageBytes page;
    page.bytes = bytes_;
    page.before = before_;
    return page;
  }
  [[nodiscard]] bool runs_from(std::optional<uint32_t> entry) const {
    return examine_code_page(code(), entry, {}).runs_directly;
  }

 private:
  static constexpr uint8_t kNop = 0x90;
  uint32_t before_;
  Bytes bytes_;
};

constexpr int kPageEnd = static_cast<int>(kPageSize);
const Bytes kMovGsEax = {0x8e, 0xe8};
const Bytes kFarJump = {0xea, 0, 0, 0, 0, 0x33, 0};

TEST(UserSensitivityOfPages, PlainCodeRuns) { EXPECT_TRUE(Page().runs_from(0)); }

TEST(UserSensitivityOfPages, SensitiveInstructionAnywhereIsFound) {
  EXPECT_FALSE(Page().put(0, kMovGsEax).runs_from(0));
  EXPECT_FALSE(Page().put(0x800, kMovGsEax).runs_from(0));
  EXPECT_FALSE(Page().put(kPageEnd - 2, kMovGsEax).runs_from(0));
  EXPECT_FALSE(Page().put(0x10, kMovGsEax).runs_from(0x800)) << "before the entry";
}

TEST(UserSensitivityOfPages, InstructionInsideAnotherIsFoundFromItsEntryOnly) {
  // mov eax, 0x9090e88e: from its second byte, mov gs, eax.
  const Page page = Page().put(0x100, {0xb8, 0x8e, 0xe8, 0x90, 0x90});
  EXPECT_TRUE(page.runs_from(0));
  EXPECT_FALSE(page.runs_from(0x101));
}

TEST(UserSensitivityOfPages, BranchTargetsAreFollowed) {
  Page page = Page().put(0x100, {0xb8, 0x8e, 0xe8, 0x90, 0x90});
  EXPECT_FALSE(Page(page).put(0x200, {0xe9, 0xfc, 0xfe, 0xff, 0xff}).runs_from(0)) << "jmp 0x101";
  EXPECT_FALSE(Page(page).put(0xf0, {0x74, 0x0f}).runs_from(0)) << "je 0x101";
  EXPECT_FALSE(Page(page).put(0x200, {0xe8, 0xfc, 0xfe, 0xff, 0xff}).runs_from(0)) << "call 0x101";
  EXPECT_FALSE(Page(page).put(0xf0, {0xe2, 0x0f}).runs_from(0)) << "loop 0x101";
  EXPECT_TRUE(Page(page).put(0xf0, {0x74, 0x0e}).runs_from(0)) << "je 0x100";
}

TEST(UserSensitivityOfPages, CodeBehindDataAndReturnsIsFound) {
  // c4 c4 is no instruction in 32-bit code.
  EXPECT_FALSE(Page().put(0x80, {0xc3, 0xc4, 0xc4, 0x90, 0x8e, 0xe8}).runs_from(0));
}

TEST(UserSensitivityOfPages, BytesBeforeThePageSayWhereItsFirstInstructionBegins) {
  // mov eax, imm32 from two bytes before the page: the page begins inside it.
  const Bytes tail = {0x8e, 0xe8, 0x90};
  Page page;
  page.put(-2, {0xb8, 0x90}).put(0, tail);
  EXPECT_TRUE(page.runs_from(3));
  EXPECT_TRUE(page.runs_from(std::nullopt)) << "nobody has said that the first byte is an entry";
  EXPECT_FALSE(page.runs_from(0)) << "entered at its first byte";
  EXPECT_FALSE(Page(0).put(0, tail).runs_from(0)) << "nothing known before it";
}

TEST(UserSensitivityOfPages, SensitiveBytesBeforeThePageAreNotThisPages) {
  EXPECT_TRUE(Page().put(-8, kMovGsEax).runs_from(0));
}

TEST(UserSensitivityOfPages, InstructionBeginningBeforeThePageIsThePageBefores) {
  EXPECT_TRUE(Page().put(-1, kMovGsEax).runs_from(1));
}

TEST(UserSensitivityOfPages, LastInstructionMayEndInTheNextPage) {
  EXPECT_FALSE(Page().put(kPageEnd - 1, kMovGsEax).runs_from(0));
  EXPECT_FALSE(Page().put(kPageEnd - 1, kFarJump).runs_from(0));
  EXPECT_TRUE(Page().put(kPageEnd, kMovGsEax).runs_from(0)) << "all in the next page";
}

TEST(UserSensitivityOfPages, InstructionWhoseEndIsUnknownDoesNotRun) {
  // It faults, and is examined again with the next page there.
  EXPECT_TRUE(Page(kBytesBeforePage, 0).put(kPageEnd - 1, kFarJump).runs_from(0));
}

constexpr DirectRules kNothingTraps = {{}, {false, false, false}};
const Bytes kCpuid = {0x0f, 0xa2};

TEST(UserSensitivityOfPages, UntrappedOpcodesAreFoundAtAnyOffset) {
  for (const int at : {0, 1, 0x7ff, kPageEnd - 2}) {
    const Page page = Page().put(at, kCpuid);
    EXPECT_FALSE(examine_code_page(page.code(), 0, kNothingTraps).runs_directly) << at;
    EXPECT_TRUE(examine_code_page(page.code(), 0, {}).runs_directly) << at;
  }
}

TEST(UserSensitivityOfPages, UntrappedOpcodesAreFoundInsideOtherInstructions) {
  struct Hidden {
    uint8_t second;
    HostTraps traps;
  };
  const std::vector<Hidden> cases = {
      {0xa2, {.cpuid = false}}, {0x05, {.syscall = false}}, {0x34, {.sysenter = false}}};
  for (const Hidden& each : cases) {
    const Page page = Page().put(0x100, {0xb8, 0x90, 0x0f, each.second, 0x90});  // mov eax, imm32
    EXPECT_FALSE(examine_code_page(page.code(), 0, {{}, each.traps}).runs_directly);
    EXPECT_TRUE(examine_code_page(page.code(), 0, {}).runs_directly) << int{each.second};
  }
}

TEST(UserSensitivityOfPages, UntrappedOpcodesAreFoundAcrossBothEndsOfThePage) {
  for (const int at : {-1, kPageEnd - 1}) {
    EXPECT_FALSE(examine_code_page(Page().put(at, kCpuid).code(), 0, kNothingTraps).runs_directly)
        << at;
  }
  for (const int at : {-2, kPageEnd}) {
    EXPECT_TRUE(examine_code_page(Page().put(at, kCpuid).code(), 0, kNothingTraps).runs_directly)
        << "all in the other page: " << at;
  }
}

TEST(UserSensitivityOfPages, TheSecondHalfOfAnUntrappedOpcodeCountsWhereTheFirstIsNotKnown) {
  EXPECT_FALSE(examine_code_page(Page(0).put(0, {0xa2}).code(), 0, kNothingTraps).runs_directly);
  EXPECT_TRUE(examine_code_page(Page(0).put(0, {0xa2}).code(), 0, {}).runs_directly);
  // The page behind is not known: it will be examined with this one before it.
  EXPECT_TRUE(examine_code_page(Page(kBytesBeforePage, 0).put(kPageEnd - 1, {0x0f}).code(), 0,
                                kNothingTraps)
                  .runs_directly);
}

TEST(UserSensitivityOfPages, WhatShowsTheBitsOfMxcsrRunsWhereTheyAreTheGuests) {
  const DirectRules others = {{}, {}, false};
  const std::vector<Case> cases = {{"fxsave [eax]", {0x0f, 0xae, 0x00}},
                                   {"fxrstor [eax]", {0x0f, 0xae, 0x08}},
                                   {"ldmxcsr [eax]", {0x0f, 0xae, 0x10}}};
  for (const Case& each : cases) {
    const Page page = Page().put(0x100, each.bytes);
    EXPECT_FALSE(examine_code_page(page.code(), 0, others).runs_directly) << each.text;
    EXPECT_TRUE(examine_code_page(page.code(), 0, {}).runs_directly) << each.text;
  }
  const Page stores = Page().put(0x100, {0x0f, 0xae, 0x18});  // stmxcsr [eax]
  EXPECT_TRUE(examine_code_page(stores.code(), 0, others).runs_directly);
}

TEST(UserSensitivityOfPages, AnyBytesComeToAnEnd) {
  uint32_t random = 1;
  for (int round = 0; round < 50; ++round) {
    Bytes noise(kPageSize);
    for (uint8_t& byte : noise) {
      random = random * 1664525 + 1013904223;
      byte = static_cast<uint8_t>(random >> 24);
    }
    (void)Page().put(0, noise).runs_from(random % kPageSize);
  }
  EXPECT_TRUE(Page().put(0, Bytes(kPageSize, 0xeb)).runs_from(0)) << "jumps to jumps";
}

TEST(CodePageVerdicts, SameBytesAreExaminedOnce) {
  CodePageVerdicts verdicts{DirectRules{}};
  const Page plain;
  EXPECT_TRUE(verdicts.runs_directly(plain.code(), std::nullopt));
  EXPECT_TRUE(verdicts.runs_directly(plain.code(), 0x123));
  EXPECT_TRUE(verdicts.runs_directly(Page().code(), 0x321)) << "another page with the same bytes";
  EXPECT_EQ(verdicts.examined(), 1U);
}

TEST(CodePageVerdicts, OtherBytesAreExamined) {
  CodePageVerdicts verdicts{DirectRules{}};
  EXPECT_TRUE(verdicts.runs_directly(Page().code(), std::nullopt));
  EXPECT_FALSE(verdicts.runs_directly(Page().put(0x800, kMovGsEax).code(), std::nullopt));
  EXPECT_FALSE(verdicts.runs_directly(Page().put(kPageEnd - 1, kMovGsEax).code(), std::nullopt))
      << "it ends in the bytes after the page";
  EXPECT_EQ(verdicts.examined(), 3U);
  EXPECT_FALSE(verdicts.runs_directly(Page().put(0x800, kMovGsEax).code(), 0));
  EXPECT_EQ(verdicts.examined(), 3U);
}

TEST(CodePageVerdicts, AnEntryInsideAnInstructionIsAnotherQuestion) {
  CodePageVerdicts verdicts{DirectRules{}};
  // mov eax, 0x9090e88e: from its second byte, mov gs, eax.
  const Page page = Page().put(0x100, {0xb8, 0x8e, 0xe8, 0x90, 0x90});
  EXPECT_TRUE(verdicts.runs_directly(page.code(), 0));
  EXPECT_FALSE(verdicts.runs_directly(page.code(), 0x101));
  EXPECT_TRUE(verdicts.runs_directly(page.code(), 0x100)) << "and says nothing of the others";
}

TEST(CodePageVerdicts, TheyAreBounded) {
  CodePageVerdicts verdicts{DirectRules{}};
  for (uint32_t i = 0; i < CodePageVerdicts::kMost + 10; ++i) {
    const Bytes number = {0xb8, static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8), 0, 0};
    EXPECT_TRUE(verdicts.runs_directly(Page().put(0, number).code(), std::nullopt));
  }
  const Bytes last = {0xb8, static_cast<uint8_t>(CodePageVerdicts::kMost + 9),
                      static_cast<uint8_t>((CodePageVerdicts::kMost + 9) >> 8), 0, 0};
  const uint64_t examined = verdicts.examined();
  EXPECT_TRUE(verdicts.runs_directly(Page().put(0, last).code(), 7));
  EXPECT_EQ(verdicts.examined(), examined) << "the newest are known";
}

}  // namespace
}  // namespace ringshift

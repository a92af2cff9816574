// The instructions that count as sensitive, and the text made of effects and pages.
#include "monitor/lab/parts/sensitive.h"

#include <gtest/gtest.h>

#include "monitor/lab/census/census.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/lab/parts/html.h"

namespace ringshift::lab {
namespace {

ConcernedInstruction concern(std::vector<uint8_t> bytes) {
  GuestInstruction instruction;
  EXPECT_EQ(decode(bytes, DecodeMode::Bits32, &instruction), DecodeOutcome::Ok);
  return concern_of(instruction);
}

TEST(Sensitive, NamesWhatSharesAMnemonicApart) {
  EXPECT_EQ(concern({0x8e, 0xd8}).name, "MOV Sreg, r");
  EXPECT_EQ(concern({0x8c, 0xc8}).name, "MOV r, Sreg");
  EXPECT_EQ(concern({0x0f, 0x20, 0xc0}).name, "MOV r, CRn");
  EXPECT_EQ(concern({0x0f, 0x22, 0xd8}).name, "MOV CRn, r");
  EXPECT_EQ(concern({0x0e}).name, "PUSH Sreg");
  EXPECT_EQ(concern({0xcb}).name, "RET far");
  EXPECT_EQ(concern({0xff, 0x18}).name, "CALL far");
}

TEST(Sensitive, PlainInstructionsAreNoConcern) {
  for (const std::vector<uint8_t>& bytes : std::vector<std::vector<uint8_t>>{
           {0x89, 0xc8}, {0x50}, {0x58}, {0xc3}, {0xe8, 0, 0, 0, 0}, {0xff, 0x10}, {0x90}}) {
    EXPECT_EQ(concern(bytes).concern, Concern::None) << static_cast<unsigned>(bytes[0]);
  }
}

TEST(Sensitive, PrivilegedAndUnprivilegedAreToldApart) {
  EXPECT_EQ(concern({0x9d}).concern, Concern::Sensitive);
  EXPECT_EQ(concern({0x0f, 0x01, 0x03}).concern, Concern::Sensitive);   // SGDT
  EXPECT_EQ(concern({0x0f, 0x01, 0x13}).concern, Concern::Privileged);  // LGDT
  EXPECT_EQ(concern({0xfa}).concern, Concern::Privileged);
  EXPECT_EQ(concern({0xe4, 0x80}).concern, Concern::Privileged);
}

TEST(Census, TheGuestThatComesWithTheProgramIsOneThatAnImageCensusReads) {
  std::string error;
  const auto file = ImageFile::create(sensitive_guest(), &error);
  ASSERT_NE(file, nullptr) << error;
  const auto image = CensusImage::open(file->path(), &error);
  ASSERT_NE(image, nullptr) << error;
  Census census;
  census_reached(*image, census_linear(*image, &census), &census);
  EXPECT_EQ(census.rows["STR"].reached, 1U);
  EXPECT_EQ(census.rows["LSL"].reached, 1U);
  EXPECT_EQ(census.rows["PUSHFD"].reached, 3U);
  EXPECT_EQ(census.rows["POPFD"].treatment, Treatment::Inline);
}

TEST(Effects, SayWhatIsUnlikeAndNothingElse) {
  const std::vector<uint8_t> before(16, 0);
  std::vector<uint8_t> after = before;
  after[5] = 1;
  Visible left{0, kFlagZf, {1, 2}, before};
  Visible right{0, 0, {1, 3}, after};
  EXPECT_EQ(joined(visible_effects(left, right, 0x1000), " "), "ECX=00000003 ZF=0 [1004]=00000100");
  EXPECT_TRUE(same_visible(left, left));
  EXPECT_FALSE(same_visible(left, right));
}

TEST(Effects, ControlIsComparedWhole) {
  GuestState before;
  GuestState after = before;
  EXPECT_TRUE(control_changes(before, after).empty());
  after.eflags |= kFlagIf;
  after.seg(SegmentRegister::Gs).base = 4;
  after.idtr.base = 0x1000;
  EXPECT_EQ(joined(control_changes(before, after), ", "), "IF 0->1, GS 0->0, IDTR 0->1000");
}

TEST(Html, WhatAGuestPrintsCannotBecomeMarkup) {
  EXPECT_EQ(escape("<b> & \"x\"\x01"), "&lt;b&gt; &amp; &quot;x&quot;?");
}

}  // namespace
}  // namespace ringshift::lab

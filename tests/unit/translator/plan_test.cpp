// Plan: the instructions that are translated together. The machine is never run here.
#include "translator/plan.h"

#include <gtest/gtest.h>

#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

class Plan : public ::testing::Test {
 protected:
  const TranslationUnit& plan_at(uint32_t eip, uint32_t max_instructions = 32) {
    TranslationKey key = machine_.key_at(mode_.base + eip);
    key.eip = Eip(eip);
    key.view = view_;
    key.mode = mode_;
    PlanLimits limits;
    limits.max_instructions = max_instructions;
    plan(key, machine_, machine_, {}, limits, &unit_);
    return unit_;
  }
  std::vector<uint32_t> eips() const {
    std::vector<uint32_t> result;
    for (const UnitInstruction& instruction : unit_.instructions)
      result.push_back(instruction.eip.value());
    return result;
  }

  Machine machine_;
  TranslationUnit unit_;
  uint32_t view_ = 0;
  CodeMode mode_;
};

using Eips = std::vector<uint32_t>;

TEST_F(Plan, AUnitGoesOnPastCallsAndConditionalJumpsToAReturn) {
  machine_.load(Machine::kCode,
                "e8 00 10 00 00 "  // call 0x2005
                "74 10 "           // jz 0x1017
                "ff d0 "           // call eax
                "c3 ");            // ret
  machine_.load(0x2005, "40 c3");  // inc eax; ret
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1005, 0x1007, 0x1009}));
  EXPECT_EQ(unit_.pieces.size(), 1U);
  EXPECT_EQ(unit_.byte_length(), 10U);
}

TEST_F(Plan, AUnitFollowsDirectJumpsIntoOtherPages) {
  machine_.load(Machine::kCode, "40 e9 fa 0f 00 00");  // inc eax; jmp 0x2000
  machine_.load(0x2000, "41 eb 02 00 00 c3");          // inc ecx; jmp 0x2005; add [eax], al; ret
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001, 0x2000, 0x2001, 0x2005}));
  ASSERT_EQ(unit_.pieces.size(), 3U);
  EXPECT_EQ(unit_.pieces[0].length, 6U);
  EXPECT_EQ(unit_.pieces[1].eip, Eip(0x2000U));
  EXPECT_EQ(unit_.pieces[1].physical, GuestPhysical(0x2000));
  EXPECT_EQ(unit_.pieces[1].length, 3U);
  EXPECT_EQ(unit_.pieces[2].eip, Eip(0x2005U));
  EXPECT_EQ(unit_.pieces[2].length, 1U);
}

TEST_F(Plan, AUnitDoesNotRunIntoItself) {
  machine_.load(Machine::kCode, "40 eb fd");  // again: inc eax; jmp again
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001}));
  EXPECT_EQ(unit_.continues_at, Eip(0x1000U));
}

TEST_F(Plan, NoInstructionOfAUnitBeginsWhereItIsKeptOut) {
  machine_.load(Machine::kCode, "40 41 42 c3");
  machine_.kept_out_addresses = {GuestVirtual(0x1002)};
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001}));
  EXPECT_EQ(unit_.continues_at, Eip(0x1002U));
  // In the middle of an instruction there is none.
  machine_.load(Machine::kCode, "b8 41 42 43 44 c3");
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1005}));
}

TEST_F(Plan, AUnitThatIsKeptOutIsTheInterpreters) {
  machine_.load(Machine::kCode, "40 c3");
  machine_.kept_out_addresses = {GuestVirtual(0x1000)};
  plan_at(Machine::kCode);
  ASSERT_EQ(unit_.instructions.size(), 1U);
  EXPECT_EQ(unit_.instructions[0].treatment, Treatment::Interpret);
  EXPECT_EQ(unit_.instructions[0].instruction.length, 0U);
}

TEST_F(Plan, JumpsAndThunksAreNotFollowedToWhereUnitsAreKeptOut) {
  machine_.load(Machine::kCode, "40 e9 fa 0f 00 00");  // inc eax; jmp 0x2000
  machine_.load(0x2000, "41 c3");
  machine_.kept_out_addresses = {GuestVirtual(0x2000)};
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001}));
  EXPECT_EQ(unit_.continues_at, Eip(0x2000U));
  EXPECT_EQ(unit_.pieces.size(), 1U);

  machine_.load(Machine::kCode, "e8 fb 0f 00 00 40 c3");  // call 0x2000; inc eax; ret
  machine_.load(0x2000, "8b 1c 24 c3");                   // mov ebx, [esp]; ret
  machine_.kept_out_addresses = {GuestVirtual(0x2003)};
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1005, 0x1006}));
  machine_.kept_out_addresses = {GuestVirtual(0x1005)};
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x2000, 0x2003}));
  EXPECT_EQ(unit_.continues_at, Eip(0x1005U));
}

TEST_F(Plan, UserCodeThatSpacesShareStaysInItsPage) {
  machine_.privilege = Privilege::User;
  machine_.load(Machine::kCode, "40 e9 fa 0f 00 00");
  machine_.load(0x2000, "41 c3");
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001}));
  EXPECT_EQ(unit_.continues_at, Eip(0x2000U));
  view_ = 1;
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001, 0x2000, 0x2001}));
}

TEST_F(Plan, ACallThatAsksForItsAddressIsInlined) {
  machine_.load(Machine::kCode, "e8 fb 0f 00 00 40 c3");  // call 0x2000; inc eax; ret
  machine_.load(0x2000, "8b 1c 24 c3");                   // mov ebx, [esp]; ret
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x2000, 0x2003, 0x1005, 0x1006}));
  EXPECT_TRUE(unit_.instructions[0].is_inlined);
  EXPECT_TRUE(unit_.instructions[2].is_inlined);
  EXPECT_FALSE(unit_.instructions[4].is_inlined);
  ASSERT_EQ(unit_.pieces.size(), 2U);
  EXPECT_EQ(unit_.pieces[1].eip, Eip(0x2000U));
  EXPECT_EQ(unit_.pieces[1].length, 4U);
}

TEST_F(Plan, WhereThereIsNoRoomForAllOfACalleeItIsCalled) {
  machine_.load(Machine::kCode, "40 e8 fa 0f 00 00 40 c3");
  machine_.load(0x2000, "8b 1c 24 c3");
  plan_at(Machine::kCode, 3);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001, 0x1006}));
  EXPECT_FALSE(unit_.instructions[1].is_inlined);
  plan_at(Machine::kCode, 4);
  EXPECT_EQ(eips(), (Eips{0x1000, 0x1001, 0x2000, 0x2003}));
  EXPECT_EQ(unit_.continues_at, Eip(0x1006U));
}

TEST_F(Plan, ALoadOfEspIsNoCalleeToInline) {
  machine_.load(Machine::kCode, "e8 fb 0f 00 00 c3");
  machine_.load(0x2000, "8b 24 24 c3");  // mov esp, [esp]; ret
  plan_at(Machine::kCode);
  EXPECT_FALSE(unit_.instructions[0].is_inlined);
}

TEST_F(Plan, AJumpAcrossPagesContinuesAtItsDestination) {
  machine_.load(0x1ffe, "e9 00 10 00 00");  // jmp 0x3003
  plan_at(0x1ffe);
  EXPECT_TRUE(unit_.crosses_page);
  EXPECT_EQ(unit_.continues_at, Eip(0x3003U));
  ASSERT_EQ(unit_.pieces.size(), 2U);
  EXPECT_EQ(unit_.pieces[0].length, 2U);
  EXPECT_EQ(unit_.pieces[1].eip, Eip(0x2000U));
  EXPECT_EQ(unit_.pieces[1].length, 3U);
}

// The bytes behind the call of a function that does not return need not be code.
TEST_F(Plan, AUnitEndsBeforeWhatIsNoInstruction) {
  machine_.load(Machine::kCode, "e8 00 10 00 00 0f 0a ff ff");
  plan_at(Machine::kCode);
  EXPECT_EQ(eips(), (Eips{0x1000}));
  EXPECT_EQ(unit_.continues_at, Eip(0x1005U));
  plan_at(0x1005);
  ASSERT_EQ(unit_.instructions.size(), 1U);
  EXPECT_EQ(unit_.instructions[0].instruction.length, 0U);
}

TEST_F(Plan, AUnitEndsWithItsCodeSegment) {
  machine_.load(Machine::kCode + 0xffc, "40 40 40 b8 01 00");
  mode_.base = Machine::kCode;
  mode_.limit = 0xfff;
  mode_.bits = CodeMode::kNarrowCode;
  plan_at(0xffc);
  EXPECT_EQ(eips(), (Eips{0xffc, 0xffd, 0xffe}));
  plan_at(0xfff);
  ASSERT_EQ(unit_.instructions.size(), 1U);
  EXPECT_EQ(unit_.instructions[0].family, Family::Interpret);
  EXPECT_EQ(unit_.instructions[0].instruction.length, 0);
}

TEST_F(Plan, ABranchOutOfTheCodeSegmentIsInterpreted) {
  machine_.load(Machine::kCode, "74 10 eb 20");  // jz 0x12; jmp 0x24
  mode_.base = Machine::kCode;
  mode_.limit = 0x12;
  mode_.bits = CodeMode::kNarrowCode;
  plan_at(0);
  ASSERT_EQ(unit_.instructions.size(), 2U);
  EXPECT_EQ(unit_.instructions[0].family, Family::JumpConditional);
  EXPECT_EQ(unit_.instructions[1].family, Family::Interpret);
}

TEST_F(Plan, ABranchOfSixteenBitsWraps) {
  machine_.load(Machine::kCode, "74 80");
  mode_.base = Machine::kCode;
  mode_.bits = CodeMode::kNarrowCode;
  plan_at(0, 1);
  EXPECT_EQ(branch_destination(unit_.instructions[0]), Eip(0xff82));
}

}  // namespace
}  // namespace ringshift

// Far transfers, executed: the target of a noted one, and that the monitor does all others.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

// A code segment whose descriptor lies at kData, and a transfer to kThere in it that has been made.
class FarTransfers : public BothStyles {
 protected:
  static constexpr uint16_t kSelector = 0x38;
  static constexpr uint64_t kBytes = 0x00cf9b000000ffffULL;
  static constexpr uint32_t kThere = Machine::kCode + 0x400;

  void SetUp() override {
    machine_.load(kThere, "bb 05 00 00 00 f4");  // mov ebx, 5; hlt
    machine_.write32(Machine::kData, static_cast<uint32_t>(kBytes));
    machine_.write32(Machine::kData + 4, static_cast<uint32_t>(kBytes >> 32));
    machine_.state().seg(SegmentRegister::Cs).selector = 0x1234;
    note(false);
    note(true);
  }
  void note(bool is_return) {
    const uint64_t tag = far_tag(CodeMode{}, Privilege::Supervisor, is_return) + kSelector;
    // RET has a tag of its own, but the same place: the last one noted is there.
    FarTarget& entry = machine_.gate->far_target_to_note(far_target_index(kSelector, kThere));
    entry.address = machine_.window() + Machine::kData;
    entry.negated_bytes = 0 - kBytes;
    entry.negated_tag = 0 - tag;
    entry.negated_eip = 0 - kThere;
    entry.cs = {0, 0xffffffffU, kSelector, 0xc09b};
    entry.room = uint64_t{1} << 32;
    entry.body = machine_.fragment_at_eip(kThere).body();
    entry.jump_table = machine_.slots().jump_table;
  }
  void expect_there() {
    EXPECT_EQ(machine_.reg(Gpr::Ebx), 5U);
    EXPECT_EQ(machine_.state().eip, kThere + 5);
    EXPECT_EQ(machine_.state().seg(SegmentRegister::Cs).selector, kSelector);
    EXPECT_EQ(machine_.state().seg(SegmentRegister::Cs).attributes, 0xc09b);
    EXPECT_EQ(machine_.slots().return_stack, machine_.slots().return_stack_bottom);
  }
  void expect_refused(const Exit& exit, uint32_t eip = Machine::kCode) {
    EXPECT_EQ(exit.reason, ExitReason::Interpret);
    EXPECT_EQ(exit.eip, Eip(eip));
    EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
    EXPECT_EQ(machine_.state().seg(SegmentRegister::Cs).selector, 0x1234);
    EXPECT_EQ(machine_.slots().callout_kind, CalloutKind::FarTransfer);
  }
};
INSTANTIATE_TEST_SUITE_P(Styles, FarTransfers,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

TEST_P(FarTransfers, ANotedJumpGoesThereAndTouchesNoFlag) {
  note(false);
  for (const uint32_t flags : {kFlagReservedOne, kFlagReservedOne | kFlagsArithmetic}) {
    machine_.state().eflags = flags;
    machine_.run_code("ea 00 14 00 00 38 00");
    expect_there();
    EXPECT_EQ(machine_.state().eflags & kFlagsArithmetic, flags & kFlagsArithmetic);
  }
}

TEST_P(FarTransfers, ACallPushesSelectorAndEip) {
  note(false);
  machine_.run_code("9a 00 14 00 00 38 00");
  expect_there();
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 8);
  EXPECT_EQ(machine_.read32(Machine::kStack - 4), 0x1234U);
  EXPECT_EQ(machine_.read32(Machine::kStack - 8), Machine::kCode + 7);
}

TEST_P(FarTransfers, AReturnReleasesWhatItIsTold) {
  machine_.reg(Gpr::Esp) = Machine::kStack - 0x100;
  machine_.write32(Machine::kStack - 0x100, kThere);
  machine_.write32(Machine::kStack - 0xfc, 0xffff0000U | kSelector);
  machine_.run_code("ca 10 00");
  expect_there();
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 0x100 + 8 + 0x10);
}

TEST_P(FarTransfers, AnotherSelectorEipRuleOrDescriptorIsForTheMonitor) {
  note(false);
  expect_refused(machine_.run_code("ea 00 14 00 00 3b 00"));
  machine_.forget_code();
  note(false);
  expect_refused(machine_.run_code("9a 01 14 00 00 38 00"));
  machine_.forget_code();
  note(true);
  expect_refused(machine_.run_code("9a 00 14 00 00 38 00"));
  machine_.forget_code();
  note(false);
  machine_.write32(Machine::kData + 4, static_cast<uint32_t>(kBytes >> 32) & ~0x100U);
  expect_refused(machine_.run_code("9a 00 14 00 00 38 00"));
}

TEST_P(FarTransfers, NothingIsCommittedWhereTheStackFaults) {
  note(false);
  machine_.set_page_access(Machine::kStack - 8, HostAccess::None);
  const Exit exit = machine_.run_code("9a 00 14 00 00 38 00");
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.state().seg(SegmentRegister::Cs).selector, 0x1234);
}

TEST_P(FarTransfers, WhereTheyLeadIsForgottenWithTheCode) {
  machine_.forget_code();
  expect_refused(machine_.run_code("ea 00 14 00 00 38 00"));
}

TEST_P(FarTransfers, AnEmptyTableMatchesNothing) {
  machine_.gate->forget_far_targets();
  expect_refused(machine_.run_code("ea 00 00 00 00 00 00"));
}

}  // namespace
}  // namespace ringshift

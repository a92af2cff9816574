// The matrix: every verdict follows from what was measured, and what was measured is what this
// machine does.
#include "monitor/lab/matrix.h"

#include <cpuid.h>
#include <gtest/gtest.h>

#include "monitor/lab/effects.h"
#include "monitor/lab/matrix_report.h"

namespace ringshift::lab {
namespace {

const Instruction& named(const std::string& name) {
  for (const Instruction& instruction : instructions()) {
    if (instruction.name == name) return instruction;
  }
  ADD_FAILURE() << "no instruction " << name;
  return instructions().front();
}

SiliconOutcome trap() {
  SiliconOutcome outcome;
  outcome.ran = outcome.trapped = true;
  outcome.vector = 13;
  outcome.data.assign(kDataBytes, 0);
  return outcome;
}

// A processor on which the instruction does to registers and memory what it does at CPL 0.
SiliconOutcome like_ring0(const VirtualOutcome& truth) {
  SiliconOutcome outcome;
  outcome.ran = true;
  outcome.eip = truth.state.eip;
  outcome.eflags = truth.state.eflags;
  outcome.gpr = truth.state.gpr;
  outcome.selector = {0x2b, 0x23, 0x2b, 0x2b, 0, 0};
  outcome.data = truth.data;
  return outcome;
}

// Calls `check` for every instruction of the laboratory.
template <typename Check>
void for_each_instruction(Check check) {
  for (const Instruction& instruction : instructions()) {
    SCOPED_TRACE(instruction.form);
    check(instruction);
  }
}

TEST(EveryInstruction, AProcessorThatTrapsItHoldsTheCondition) {
  for_each_instruction([](const Instruction& instruction) {
    Measurement m = measure(instruction, false);
    m.silicon = trap();
    const Verdict verdict = judge(m).verdict;
    EXPECT_TRUE(verdict == Verdict::Holds || verdict == Verdict::PrivilegedOnly ||
                verdict == Verdict::Absent)
        << verdict_name(verdict);
  });
}

TEST(EveryInstruction, AProcessorThatRunsItViolatesTheConditionOrNeedNot) {
  for_each_instruction([](const Instruction& instruction) {
    Measurement m = measure(instruction, false);
    m.silicon = like_ring0(m.truth);
    const Row row = judge(m);
    const bool sensitive = !row.changes.empty() || !row.depends.empty() || m.truth.faulted;
    EXPECT_EQ(row.verdict, sensitive ? Verdict::Violates : Verdict::Innocuous);
    EXPECT_FALSE(row.privileged);
  });
}

TEST(EveryInstruction, WithoutAProcessorThereIsNoVerdict) {
  for_each_instruction([](const Instruction& instruction) {
    const Row row = judge(measure(instruction, false));
    EXPECT_EQ(row.verdict, Verdict::NotMeasured);
    EXPECT_EQ(row.deprivileged, Deprivileged::NotMeasured);
  });
}

TEST(EveryInstruction, ATruthWithoutEffectsIsNotSensitive) {
  for_each_instruction([](const Instruction& instruction) {
    Measurement m = measure(instruction, false);
    m.truth.state = initial_state(instruction);
    m.truth.faulted = m.truth.halted = false;
    m.truth.port_accesses = m.truth.cr3_loads = m.truth.pages_invalidated = 0;
    m.variations.clear();
    m.silicon = trap();
    EXPECT_EQ(judge(m).verdict, Verdict::PrivilegedOnly);
  });
}

TEST(EveryInstruction, TranslatedItLeavesTheMachineAsAtRing0AndAnyDifferenceShows) {
  for_each_instruction([](const Instruction& instruction) {
    Measurement m = measure(instruction, false);
    EXPECT_TRUE(judge(m).translation_agrees) << judge(m).translation_differs;
    m.translated.state.gpr[5] ^= 1;
    EXPECT_FALSE(judge(m).translation_agrees);
    m.translated.state.gpr[5] ^= 1;
    m.translated.state.gdtr.base ^= 8;
    EXPECT_FALSE(judge(m).translation_agrees);
    m.translated.state.gdtr.base ^= 8;
    m.translated.ram[0x100] ^= 1;
    EXPECT_FALSE(judge(m).translation_agrees);
  });
}

TEST(Sensitivity, DependsOnExactlyWhatTheManualSays) {
  const auto depends = [](const char* name) { return judge(measure(named(name), false)).depends; };
  using Words = std::vector<std::string>;
  EXPECT_EQ(depends("SGDT"), Words({"GDTR"}));
  EXPECT_EQ(depends("SIDT"), Words({"IDTR"}));
  EXPECT_EQ(depends("SLDT"), Words({"LDTR"}));
  EXPECT_EQ(depends("STR"), Words({"TR"}));
  EXPECT_EQ(depends("SMSW"), Words({"CR0"}));
  EXPECT_EQ(depends("PUSHF"), Words({"IF", "IOPL"}));
  EXPECT_EQ(depends("PUSH CS"), Words({"ring"}));
  EXPECT_EQ(depends("LSL"), Words({"descriptors", "ring"}));
  EXPECT_EQ(depends("ADD"), Words());
}

TEST(Sensitivity, ChangesExactlyWhatTheManualSays) {
  const auto changes = [](const char* name) {
    return joined(judge(measure(named(name), false)).changes, ", ");
  };
  EXPECT_EQ(changes("POPF"), "IF 1->0");
  EXPECT_EQ(changes("STI"), "IF 0->1");
  EXPECT_EQ(changes("HLT"), "activity");
  EXPECT_EQ(changes("INVLPG"), "TLB");
  EXPECT_EQ(changes("OUT"), "a device");
  EXPECT_EQ(changes("MOV GS, r"), "GS 10->33");
  EXPECT_EQ(changes("MOV [m], r"), "");
}

TEST(Faked, OnlyWhatUmipCoversAndTookAnExceptionsTime) {
  Measurement m = measure(named("SMSW"), false);
  m.silicon = like_ring0(m.truth);
  m.umip = true;
  m.cycles = 2000;
  EXPECT_EQ(judge(m).deprivileged, Deprivileged::KernelFakes);
  m.cycles = 40;
  EXPECT_NE(judge(m).deprivileged, Deprivileged::KernelFakes);
  m.cycles = 2000;
  m.umip = false;
  EXPECT_NE(judge(m).deprivileged, Deprivileged::KernelFakes);
}

TEST(Report, SaysInEachFormWhatTheRowsSay) {
  Matrix matrix;
  Measurement m = measure(named("POPF"), false);
  m.silicon = like_ring0(m.truth);
  matrix.rows.push_back(judge(m));
  matrix.processor = "<processor>";
  EXPECT_NE(matrix_as_text(matrix).find("1 of 1 instructions are sensitive and do not trap"),
            std::string::npos);
  EXPECT_NE(matrix_as_json(matrix).find("\"verdict\": \"VIOLATES\""), std::string::npos);
  const std::string page = matrix_as_html(matrix);
  EXPECT_NE(page.find("the effect is lost in silence"), std::string::npos);
  EXPECT_EQ(page.find("<processor>"), std::string::npos) << "what the host says is escaped";
  EXPECT_EQ(page.find("http"), std::string::npos) << "self-contained";
}

// ---- against this machine, asked in another way ----

class OnThisMachine : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_silicon().empty()) GTEST_SKIP() << why_no_silicon();
  }
};

TEST_F(OnThisMachine, CpuidAnswersAsItDoesIn64BitCode) {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  ASSERT_NE(__get_cpuid(1, &eax, &ebx, &ecx, &edx), 0);
  const SiliconOutcome outcome = run_on_silicon(named("CPUID"));
  ASSERT_TRUE(outcome.ran);
  if (outcome.trapped) GTEST_SKIP() << "CPUID faulting is on";
  EXPECT_EQ(outcome.gpr[0], eax);
}

TEST_F(OnThisMachine, TheMachineStatusWordIsTheOneOf64BitCode) {
  uint64_t status = 0;
  asm volatile("smsw %0" : "=r"(status));
  EXPECT_EQ(run_on_silicon(named("SMSW")).gpr[0] & 0xffffU, status & 0xffffU);
}

TEST_F(OnThisMachine, AccessRightsAreThoseOf64BitCode) {
  uint32_t rights = 0;
  uint8_t found = 0;
  asm volatile("lar %2, %0; setz %1" : "+r"(rights), "=r"(found) : "r"(uint32_t{kData0}) : "cc");
  const SiliconOutcome outcome = run_on_silicon(named("LAR"));
  EXPECT_EQ((outcome.eflags & kFlagZf) != 0, found != 0);
  EXPECT_EQ(outcome.gpr[0], rights);
}

TEST_F(OnThisMachine, PushfShowsTheHostsInterruptFlag) {
  const SiliconOutcome outcome = run_on_silicon(named("PUSHF"));
  const size_t pushed = kStack - 4 - kDataBase;
  ASSERT_FALSE(outcome.trapped);
  EXPECT_NE(outcome.data[pushed + 1] & 2, 0);
}

TEST_F(OnThisMachine, PopfDoesNotTurnInterruptsOff) {
  const SiliconOutcome outcome = run_on_silicon(named("POPF"));
  EXPECT_FALSE(outcome.trapped);
  EXPECT_NE(outcome.eflags & kFlagIf, 0U);
}

TEST_F(OnThisMachine, CliTrapsAndMovesNothing) {
  const SiliconOutcome outcome = run_on_silicon(named("CLI"));
  EXPECT_TRUE(outcome.trapped);
  EXPECT_EQ(outcome.vector, 13U);
  EXPECT_EQ(outcome.eip, kCodeBase);
}

TEST_F(OnThisMachine, ASystemCallOfTheHostIsCaughtNotMade) {
  const SiliconOutcome outcome = run_on_silicon(named("INT 0x80"));
  EXPECT_TRUE(!outcome.ran || outcome.is_system_call) << outcome.problem;
}

TEST_F(OnThisMachine, AnInnocuousInstructionGivesWhatTheInterpreterGives) {
  const Row row = judge(measure(named("ADD"), true));
  EXPECT_EQ(row.deprivileged, Deprivileged::SameResult);
  EXPECT_EQ(row.verdict, Verdict::Innocuous);
}

}  // namespace
}  // namespace ringshift::lab

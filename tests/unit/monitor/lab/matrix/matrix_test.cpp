// The matrix: every verdict follows from measurements, and the measurements are those of this
// machine.
#include "monitor/lab/matrix/matrix.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "monitor/lab/matrix/matrix_report.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/trap/tracee.h"
#include "shadowmmu/guest_memory.h"

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
    EXPECT_EQ(row.deprivileged, DeprivilegedEffect::NotMeasured);
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
  EXPECT_EQ(judge(m).deprivileged, DeprivilegedEffect::KernelFakes);
  m.cycles = 40;
  EXPECT_NE(judge(m).deprivileged, DeprivilegedEffect::KernelFakes);
  m.cycles = 2000;
  m.umip = false;
  EXPECT_NE(judge(m).deprivileged, DeprivilegedEffect::KernelFakes);
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
  const std::string page = matrix_as_html(matrix, Company::Alone);
  EXPECT_NE(page.find("the effect is lost in silence"), std::string::npos);
  EXPECT_EQ(page.find("<processor>"), std::string::npos) << "what the host says is escaped";
  EXPECT_EQ(page.find("://"), std::string::npos) << "self-contained";
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
  EXPECT_EQ(row.deprivileged, DeprivilegedEffect::SameResult);
  EXPECT_EQ(row.verdict, Verdict::Innocuous);
}

// ---- every row, by what it is run on and not by what it is called ----

Row measured(const Instruction& instruction) { return judge(measure(instruction, true)); }

TEST_F(OnThisMachine, EveryRowWithTheBytesOfHltIsHlt) {
  for_each_instruction([](Instruction instruction) {
    instruction.code = {0xf4};
    instruction.virtual_if = false;  // or it would wait for an interrupt
    const Row row = measured(instruction);
    EXPECT_EQ(row.verdict, Verdict::Holds) << row.reason;
    EXPECT_EQ(row.changes, std::vector<std::string>{"activity"});
    EXPECT_EQ(row.deprivileged, DeprivilegedEffect::Traps);
    EXPECT_EQ(row.treatment, Treatment::Interpret);
    EXPECT_TRUE(row.privileged && row.translation_agrees) << row.translation_differs;
  });
}

TEST_F(OnThisMachine, EveryRowWithTheBytesOfAMoveIsInnocuous) {
  for_each_instruction([](Instruction instruction) {
    instruction.code = {0xb8, 0x2a, 0, 0, 0};  // mov eax, 42
    instruction.has_umip = false;
    const Row row = measured(instruction);
    EXPECT_EQ(row.verdict, Verdict::Innocuous) << row.reason;
    EXPECT_EQ(row.deprivileged, DeprivilegedEffect::SameResult) << row.deprived;
    EXPECT_EQ(row.treatment, Treatment::Identical);
    EXPECT_FALSE(row.privileged);
    EXPECT_TRUE(row.translation_agrees) << row.translation_differs;
  });
}

TEST_F(OnThisMachine, NoRowIsJudgedByItsName) {
  for_each_instruction([](const Instruction& instruction) {
    const Row row = measured(instruction);
    Instruction nameless = instruction;
    nameless.name = nameless.form = nameless.purpose = "?";
    nameless.group = Group::Innocuous;
    const Row same = measured(nameless);
    EXPECT_EQ(same.verdict, row.verdict);
    EXPECT_EQ(same.changes, row.changes);
    EXPECT_EQ(same.depends, row.depends);
    EXPECT_EQ(same.deprivileged, row.deprivileged);
  });
}

// A second way to run one: another process, by ptrace. Does it trap?
class Traced {
 public:
  [[nodiscard]] bool create(std::string* error) {
    memory_ = GuestMemory::create(kCodeBytes + kDataBytes, error);
    if (memory_ != nullptr) tracee_ = Tracee::create(memory_->descriptor(), error);
    return tracee_ != nullptr;
  }
  [[nodiscard]] bool traps(const Instruction& instruction) {
    user_regs_struct registers{};
    user_fpregs_struct fpu{};
    constexpr uint64_t kCode32 = 0x23, kData = 0x2b, kFlags = 0x202, kControlWords = 0x1f80;
    copy(0, kCodeBase, initial_code(instruction));
    copy(kCodeBytes, kDataBase, initial_data(instruction));
    const auto gpr = initial_registers(instruction);
    registers.rax = gpr[0], registers.rcx = gpr[1], registers.rdx = gpr[2], registers.rbx = gpr[3];
    registers.rsp = gpr[4], registers.rbp = gpr[5], registers.rsi = gpr[6], registers.rdi = gpr[7];
    registers.rip = kCodeBase;
    registers.cs = kCode32;
    registers.ss = registers.ds = registers.es = kData;
    registers.eflags = kFlags;
    fpu.mxcsr = kControlWords;
    TraceStop stop = TraceStop::Tick;
    while (stop == TraceStop::Tick) stop = tracee_->run(&registers, &fpu, false);
    EXPECT_NE(stop, TraceStop::Gone);
    const uint64_t next = kCodeBase + instruction.code.size();
    const bool at_an_end = registers.rip == next || registers.rip == kTarget;
    return stop != TraceStop::Exception || !at_an_end;
  }

 private:
  void copy(uint64_t offset, uint32_t linear, const std::vector<uint8_t>& bytes) {
    std::memcpy(memory_->at(GuestPhysical(offset)), bytes.data(), bytes.size());
    for (uint32_t at = 0; at < bytes.size(); at += kPageSize) {
      EXPECT_TRUE(tracee_->map(linear + at, offset + at, true));
    }
  }
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Tracee> tracee_;
};

TEST_F(OnThisMachine, AnotherProcessUnderPtraceTrapsOnTheSameInstructions) {
  std::string error;
  Traced traced;
  if (!traced.create(&error)) GTEST_SKIP() << error;
  for_each_instruction([&](const Instruction& instruction) {
    const SiliconOutcome outcome = run_on_silicon(instruction);
    if (!outcome.ran) return;
    EXPECT_EQ(traced.traps(instruction), outcome.trapped);
  });
}

// ---- hosts differ; some differences can be made here ----

TEST_F(OnThisMachine, WhereRdtscTrapsTheConditionHoldsForIt) {
  Measurement m = measure(named("RDTSC"), true);
  EXPECT_TRUE(m.silicon.trapped || judge(m).verdict == Verdict::Violates);
  if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV) != 0) GTEST_SKIP() << "no PR_SET_TSC";
  m.silicon = run_on_silicon(named("RDTSC"));
  ASSERT_EQ(prctl(PR_SET_TSC, PR_TSC_ENABLE), 0);
  EXPECT_TRUE(m.silicon.trapped);
  EXPECT_EQ(judge(m).verdict, Verdict::Holds);
  EXPECT_TRUE(judge(m).privileged);
}

TEST_F(OnThisMachine, WhereCpuidFaultsTheConditionHoldsForIt) {
  Measurement m = measure(named("CPUID"), true);
  EXPECT_TRUE(m.silicon.trapped || judge(m).verdict == Verdict::Violates);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) GTEST_SKIP() << "no CPUID faulting";
  m.silicon = run_on_silicon(named("CPUID"));
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1), 0);
  EXPECT_TRUE(m.silicon.trapped);
  EXPECT_EQ(judge(m).verdict, Verdict::Holds);
}

TEST_F(OnThisMachine, OnAProcessorWithoutUmipNothingIsFaked) {
  for_each_instruction([](const Instruction& instruction) {
    Measurement m = measure(instruction, true);
    m.umip = false;
    const Row row = judge(m);
    EXPECT_NE(row.deprivileged, DeprivilegedEffect::KernelFakes);
    EXPECT_TRUE(!instruction.has_umip || m.silicon.trapped || row.verdict == Verdict::Violates);
  });
}

}  // namespace
}  // namespace ringshift::lab

// Runs of plain instructions: their ends, and that they equal single steps.
#include <cstring>
#include <random>

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

class InterpreterPlain : public InterpreterFixture {
 protected:
  static constexpr uint32_t kMany = 100;

  // Decodes what the bytes at CS:EIP are, and comes back to where it was.
  void make_known(std::initializer_list<unsigned> bytes, int steps) {
    place(bytes);
    const GuestState before = state;
    for (int i = 0; i < steps; ++i) (void)step();
    state = before;
  }
  Interpreter::PlainRun run_plain(uint32_t most = kMany) { return interpreter().run_plain(most); }
};

TEST_F(InterpreterPlain, RunsUntilAnInstructionThatIsNot) {
  make_known({0x40, 0x40, 0xfa}, 3);  // inc eax; inc eax; cli
  const auto ran = run_plain();
  EXPECT_EQ(ran.instructions, 2U);
  EXPECT_FALSE(ran.fault);
  EXPECT_EQ(eax(), 2U);
  EXPECT_EQ(state.eip, kCode + 2);
}

TEST_F(InterpreterPlain, RunsNothingThatWasNeverSeen) {
  place({0x40, 0x40});
  EXPECT_EQ(run_plain().instructions, 0U);
}

TEST_F(InterpreterPlain, StopsAtItsLimit) {
  make_known({0xeb, 0xfe}, 1);  // jmp to itself
  EXPECT_EQ(run_plain(7).instructions, 7U);
}

TEST_F(InterpreterPlain, SeesBytesThatItsOwnStoreHasChanged) {
  // mov byte [kCode + 7], 0x43; inc eax, which becomes inc ebx
  const std::initializer_list<unsigned> code = {0xc6, 0x05, 0x07, 0x00, 0x03, 0x00, 0x43, 0x40};
  place(code);
  state.eip = kCode + 7;
  EXPECT_EQ(step().kind, StepKind::Done);
  state.eip = kCode;
  EXPECT_EQ(step().kind, StepKind::Done);
  state.eip = kCode;
  place(code);
  eax() = 0;
  EXPECT_EQ(run_plain().instructions, 1U);
  EXPECT_EQ(step().kind, StepKind::Done);
  EXPECT_EQ(eax(), 0U);
  EXPECT_EQ(ebx(), 1U);
}

TEST_F(InterpreterPlain, StopsAfterADevice) {
  // mov eax, [beyond RAM]; inc ecx
  make_known({0xa1, 0x00, 0x00, 0x00, 0x10, 0x41}, 2);
  EXPECT_EQ(run_plain().instructions, 1U);
  EXPECT_EQ(ecx(), 0U);
}

TEST_F(InterpreterPlain, AFaultLeavesEipAtItsInstruction) {
  ebx() = 1;
  make_known({0x41, 0xf7, 0xf3}, 2);  // inc ecx; div ebx
  ebx() = 0;
  const auto ran = run_plain();
  EXPECT_EQ(ran.instructions, 1U);
  ASSERT_TRUE(ran.fault);
  EXPECT_EQ(ran.fault->vector, Vector::DivideError);
  EXPECT_EQ(state.eip, kCode + 1);
  EXPECT_EQ(ecx(), 1U);
}

TEST_F(InterpreterPlain, RunsNothingWhereSomebodyAsksBetweenInstructions) {
  make_known({0x40, 0x40}, 2);
  const GuestState start = state;
  state.eflags |= kFlagTf;
  EXPECT_EQ(run_plain().instructions, 0U);
  state = start;
  state.eflags |= kFlagRf;
  EXPECT_EQ(run_plain().instructions, 0U);
  state = start;
  state.interrupt_shadow = 1;
  EXPECT_EQ(run_plain().instructions, 0U);
  state = start;
  state.dr[7] |= 1;
  EXPECT_EQ(run_plain().instructions, 0U);
  state = start;
  interpreter().iterate_singly();
  EXPECT_EQ(run_plain().instructions, 0U);
}

// Two machines with the same code: one steps, the other runs.
class Twin : public InterpreterFixture {
 public:
  void TestBody() override {}
  using InterpreterFixture::interpreter;
  using InterpreterFixture::state;
  using InterpreterFixture::step;

  void begin(unsigned mode) {
    state.cr0 |= kCr0Pe;
    state.eflags = kFlagReservedOne;
    if (mode == 0) {
      enter_real_mode();
    } else if (mode == 1) {
      enter_v86(3);
    } else {
      enter_ring(mode == 2 ? 0 : 3);
    }
    state.activity = ActivityState::Running;
    state.interrupt_shadow = 0;
  }
  [[nodiscard]] uint8_t* ram(uint32_t at) {
    return cpu().memory.physical().ram().at(GuestPhysical(at));
  }
  [[nodiscard]] uint32_t code_at() const { return state.seg(SegmentRegister::Cs).base + state.eip; }
};

void expect_same(Twin& steps, Twin& runs) {
  ASSERT_EQ(steps.state.gpr, runs.state.gpr);
  ASSERT_EQ(steps.state.eip, runs.state.eip);
  ASSERT_EQ(steps.state.eflags, runs.state.eflags);
  ASSERT_EQ(steps.state.interrupt_shadow, runs.state.interrupt_shadow);
  ASSERT_EQ(steps.state.segment, runs.state.segment);
  ASSERT_EQ(steps.state.cr0, runs.state.cr0);
}

TEST(InterpreterPlainTwins, RunsAreWhatStepsAre) {
  constexpr int kTrials = 3000, kPasses = 3, kTurns = 20;
  constexpr uint32_t kCodeBytes = 48;
  Twin steps;
  Twin runs;
  std::mt19937 random(11);
  uint64_t ran = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const unsigned mode = random() % 4;
    std::array<uint32_t, kGprCount> registers{};
    for (uint32_t& value : registers) value = static_cast<uint32_t>(random()) & 0xfffU;
    std::array<uint8_t, kCodeBytes> code{};
    for (uint8_t& byte : code) byte = static_cast<uint8_t>(random());
    // More of what is short and usual than chance gives.
    for (size_t i = 0; i < code.size(); i += 1 + random() % 4) {
      code[i] = static_cast<uint8_t>(0x40U + random() % 0x40U);
    }
    for (int pass = 0; pass < kPasses; ++pass) {
      for (Twin* twin : {&steps, &runs}) {
        twin->begin(mode);
        const uint32_t esp = twin->state.reg(Gpr::Esp);
        twin->state.gpr = registers;
        twin->state.reg(Gpr::Esp) = esp;
        std::memcpy(twin->ram(twin->code_at()), code.data(), code.size());
      }
      for (int turn = 0; turn < kTurns; ++turn) {
        const auto run = runs.interpreter().run_plain(1 + random() % 8);
        for (uint32_t i = 0; i < run.instructions; ++i)
          ASSERT_EQ(steps.step().kind, StepKind::Done);
        ran += run.instructions;
        const StepResult expected = steps.step();
        StepResult got;
        if (run.fault) {
          got.kind = StepKind::Fault;
          got.fault = *run.fault;
        } else {
          got = runs.step();
        }
        ASSERT_EQ(expected.kind, got.kind);
        if (expected.kind == StepKind::Fault) {
          ASSERT_EQ(expected.fault, got.fault);
        }
        expect_same(steps, runs);
        if (testing::Test::HasFatalFailure() || expected.kind != StepKind::Done) break;
      }
      ASSERT_EQ(std::memcmp(steps.ram(0), runs.ram(0), 1 << 20), 0) << "trial " << trial;
    }
  }
  EXPECT_GT(ran, 10'000U);
}

}  // namespace
}  // namespace ringshift

// Lockstep: a machine's error is found, and its place; permitted differences are not reported.
#include "monitor/lab/lockstep/lockstep.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <span>

#include "monitor/lab/lockstep/replay.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/trap/tracee.h"

namespace ringshift::lab {
namespace {

// Passes everything on, and does something to the leader once, after so many interpreted
// instructions.
class Tamper final : public ExecutionObserver {
 public:
  Tamper(Lockstep& lockstep, std::function<void()> once) : lockstep_(lockstep), once_(once) {}
  void before_interpreted(const GuestState& state) override { lockstep_.before_interpreted(state); }
  void after_interpreted(const GuestState& state) override {
    constexpr uint32_t kWhen = 20;
    lockstep_.after_interpreted(state);
    if (++events_ == kWhen) once_();
  }
  void before_interrupt(const Event& event, const GuestState& state) override {
    lockstep_.before_interrupt(event, state);
  }

 private:
  Lockstep& lockstep_;
  std::function<void()> once_;
  uint32_t events_ = 0;
};

struct Followed {
  Difference difference;
  LockstepFigures figures;
};

// Under a sanitizer on a busy host the guest takes more than the default.
constexpr double kLong = 300;

// The guest that comes with the program, tampered with.
Followed run_with(const LockstepOptions& options, const std::function<void(Machine&)>& tamper) {
  std::string error;
  const auto file = ImageFile::create(sensitive_guest(), &error);
  EXPECT_NE(file, nullptr) << error;
  Lockstep lockstep(options);
  std::unique_ptr<Machine> machine;
  Tamper observer(lockstep, [&] { tamper(*machine); });
  MachineConfig config;
  config.boot.kernel_path = file->path();
  config.ports.serial = {};
  config.raw_console = false;
  config.memory_bytes = 8U << 20;
  config.vcpu.observer = &observer;
  config.translator.features.interpret_time = true;
  machine = Machine::create(config, &error);
  EXPECT_NE(machine, nullptr) << error;
  EXPECT_TRUE(lockstep.attach(machine.get(), &error)) << error;
  (void)machine->run();
  lockstep.finish();
  return {lockstep.difference(), lockstep.figures()};
}

// A machine that does not run, and its follower at the first instruction.
struct Standing {
  explicit Standing(std::span<const uint8_t> image = sensitive_guest())
      : file(ImageFile::create(image, &error)) {
    MachineConfig config;
    config.boot.kernel_path = file->path();
    config.ports.serial = {};
    config.raw_console = false;
    config.memory_bytes = 8U << 20;
    machine = Machine::create(config, &error);
    EXPECT_NE(machine, nullptr) << error;
    EXPECT_TRUE(lockstep.attach(machine.get(), &error)) << error;
    lockstep.follower().mark();
  }
  std::string error;
  std::unique_ptr<ImageFile> file;
  Lockstep lockstep{{.keeps_way = true}};
  std::unique_ptr<Machine> machine;
};

TEST(Replay, GoesBackToTheMarkWithMemoryAndRegisters) {
  Standing standing;
  Follower& follower = standing.lockstep.follower();
  const GuestState begin = follower.state();
  size_t unlike = 0;
  const auto compare = [&] {
    unlike = 0;
    for (uint64_t at = 0; at < follower.ram().size(); at += kPageSize) {
      unlike += std::memcmp(follower.ram().at(GuestPhysical(at)),
                            standing.machine->memory().at(GuestPhysical(at)), kPageSize) != 0;
    }
    return unlike;
  };
  EXPECT_EQ(compare(), 0U);
  for (int i = 0; i < 10'000 && compare() == 0; i += 50) {
    for (int step = 0; step < 50; ++step) {
      if (!follower.step(follower.next())) break;
    }
  }
  EXPECT_GT(unlike, 0U);
  follower.rewind();
  EXPECT_EQ(compare(), 0U);
  EXPECT_EQ(follower.state().eip, begin.eip);
  EXPECT_EQ(follower.state().gpr, begin.gpr);
}

// A Multiboot image that does nothing else than this: the replay has no devices.
constexpr uint32_t kPushesCs[] = {
    0x1badb002,  // the header, with addresses
    0x10003,     //
    0U - 0x1badb005U - 0x10000U,
    0x100000,
    0x100000,
    0,
    0,
    0x100020,
    0x000032b9,
    0xbcfee200,  // mov ecx, 50; loop to itself; mov esp, 0x180000
    0x00180000,
    0xfeeb580e,  // push cs; pop eax; jmp to itself
};

TEST(Replay, NamesTheFirstInstructionThatTheProcessorDoesOtherwise) {
  Standing standing({reinterpret_cast<const uint8_t*>(kPushesCs), sizeof kPushesCs});
  std::string error;
  if (Tracee::create(standing.machine->memory().descriptor(), &error) == nullptr) {
    GTEST_SKIP() << error;
  }
  const WrongSearch search = find_wrong(standing.lockstep.follower(), 10'000, 30);
  const std::optional<WrongInstruction>& wrong = search.wrong;
  ASSERT_TRUE(wrong) << search.steps << " steps, " << search.executed
                     << " of them executed as well; " << search.not_executed;
  EXPECT_EQ(wrong->name, "PUSH Sreg");
  EXPECT_FALSE(wrong->what.empty());
  EXPECT_EQ(wrong->steps, 52U);  // MOV, fifty times LOOP, MOV
  // Not one step further: up to there the processor is right.
  EXPECT_FALSE(find_wrong(standing.lockstep.follower(), wrong->steps, 30).wrong);
}

TEST(Lockstep, AMachineLeftAloneAgrees) {
  const Followed run = run_with({.seconds = kLong, .come_by = 500'000}, [](Machine&) {});
  EXPECT_FALSE(run.difference.found) << run.difference.what;
  EXPECT_FALSE(run.figures.time_was_up);
  EXPECT_GT(run.figures.instructions, 1'000'000U);
  EXPECT_GT(run.figures.ram_comparisons, 1U);
}

TEST(Lockstep, ARegisterThatIsUnlikeIsNamed) {
  const Followed run =
      run_with({.seconds = kLong}, [](Machine& machine) { machine.state().sysenter_esp ^= 0x100; });
  ASSERT_TRUE(run.difference.found);
  EXPECT_NE(run.difference.what.find("SYSENTER_ESP"), std::string::npos) << run.difference.what;
  EXPECT_LT(run.difference.instruction, 5000U);
}

TEST(Lockstep, AByteOfRamThatIsUnlikeIsFoundAtTheNextComparison) {
  constexpr uint64_t kUnused = 0x700000;
  const Followed run = run_with({.ram_every = 100, .seconds = kLong}, [](Machine& machine) {
    *machine.memory().at(GuestPhysical(kUnused)) ^= 1;
  });
  ASSERT_TRUE(run.difference.found);
  EXPECT_NE(run.difference.what.find("RAM at 700000"), std::string::npos) << run.difference.what;
}

TEST(Lockstep, TimeThatIsUpEndsItWithoutAVerdict) {
  const Followed run = run_with({.seconds = 0.05, .come_by = 500'000}, [](Machine&) {});
  EXPECT_FALSE(run.difference.found);
  EXPECT_LT(run.figures.seconds, 5);
}

TEST(Lockstep, WhatIsSkippedIsNotCompared) {
  const Followed run = run_with({.skip = 1000, .come_by = 500'000},
                                [](Machine& machine) { machine.state().sysenter_esp ^= 0x100; });
  EXPECT_FALSE(run.figures.began);
  EXPECT_EQ(run.figures.instructions, 0U);
  EXPECT_FALSE(run.difference.found) << run.difference.what;
}

}  // namespace
}  // namespace ringshift::lab

#include "monitor/direct/direct_process.h"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <x86intrin.h>

#include <thread>

#include "monitor/direct/direct_sandbox.h"
#include "monitor/host/attention.h"
#include "monitor/host/children/traced_process.h"
#include "monitor/host/host_signals.h"
#include "tests/support/direct_fixture.h"

namespace ringshift {
namespace {

using Kind = DirectStop::Kind;
using Code = std::vector<uint8_t>;

class DirectProcessTest : public DirectFixture {
 protected:
  void SetUp() override {
    DirectFixture::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::string error;
    process_ = host_->spawn(&error);
    ASSERT_NE(process_, nullptr) << error;
    carry_out({command_to_map(kCodePage, kCodeFrame, 1, HostAccess::ReadExecute),
               command_to_map(kDataPage, kDataFrame, 2, HostAccess::ReadWrite)});
  }

  void carry_out(const std::vector<DirectCommand>& commands) {
    std::string error;
    EXPECT_TRUE(process_->carry_out(commands, &error)) << error;
  }
  std::string refusal_of(const DirectCommand& command) {
    std::string error;
    EXPECT_FALSE(process_->carry_out({&command, 1}, &error));
    return error;
  }

  DirectStop run(const Code& code) {
    write_code(code);
    state_.eip = kCode;
    EXPECT_TRUE(process_->accepts(state_));
    return process_->run(&state_);
  }
  // How it stopped, and where in the code.
  void expect_stop(const Code& code, Kind kind, uint32_t offset) {
    const DirectStop stop = run(code);
    EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(kind));
    EXPECT_EQ(state_.eip, kCode + offset);
  }
  // Nothing of the run shows in the guest's registers.
  void expect_escape(const Code& code) {
    state_.reg(Gpr::Ecx) = 0x1234;
    const DirectStop stop = run(code);
    EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::Escaped));
    EXPECT_EQ(state_.eip, kCode);
    EXPECT_EQ(state_.reg(Gpr::Ecx), 0x1234U);
    EXPECT_TRUE(exists(process_->id())) << "no host call of its own has ended it";
  }

  std::unique_ptr<DirectProcess> process_;
};

TEST_F(DirectProcessTest, InterruptInstructionStopsAtItWithTheRegisters) {
  // mov eax, 0x11223344; mov ebp, 5; int 0x80
  expect_stop({0xb8, 0x44, 0x33, 0x22, 0x11, 0xbd, 5, 0, 0, 0, 0xcd, 0x80}, Kind::Instruction, 10);
  EXPECT_EQ(state_.reg(Gpr::Eax), 0x11223344U);
  EXPECT_EQ(state_.reg(Gpr::Ebp), 5U);
  EXPECT_EQ(state_.reg(Gpr::Esp), kData + 0x1000);
}

TEST_F(DirectProcessTest, WhatIsNotTheProcessorsToRunStopsAtIt) {
  const std::vector<Code> cases = {
      {0xcc},              // int3
      {0xcd, 0x03},        // int 3, two bytes
      {0xcd, 0x21},        // int 0x21
      {0xf1},              // icebp
      {0xf4},              // hlt
      {0xfa},              // cli
      {0xec},              // in al, dx
      {0x0f, 0x0b},        // ud2
      {0x0f, 0x20, 0xc0},  // mov eax, cr0
      {0xf7, 0xf1},        // div ecx, by zero
  };
  state_.reg(Gpr::Ecx) = 0;
  for (Code code : cases) {
    SCOPED_TRACE(testing::PrintToString(code));
    code.insert(code.begin(), 0x90);
    expect_stop(code, Kind::Instruction, 1);
  }
}

// Elsewhere no page with such an opcode is executable.
TEST_F(DirectProcessTest, WhatTheHostIsSaidToTrapStopsAtIt) {
  std::vector<Code> cases;
  if (host_->traps().cpuid) cases.push_back({0x90, 0x0f, 0xa2});
  if (host_->traps().syscall) cases.push_back({0x90, 0x0f, 0x05});
  if (host_->traps().sysenter) cases.push_back({0x90, 0x0f, 0x34});
  ASSERT_FALSE(cases.empty());
  for (const Code& code : cases) {
    SCOPED_TRACE(testing::PrintToString(code));
    expect_stop(code, Kind::Instruction, 1);
  }
}

TEST_F(DirectProcessTest, TimeStampCounterIsTheHostsOrStopsAsAsked) {
  std::string error;
  const Code code = {0x0f, 0x31, 0xf4};  // rdtsc; hlt
  const uint64_t before = __rdtsc();
  expect_stop(code, Kind::Instruction, 2);
  const uint64_t found = uint64_t{state_.reg(Gpr::Edx)} << 32 | state_.reg(Gpr::Eax);
  EXPECT_GE(found, before);
  EXPECT_LE(found, __rdtsc());
  ASSERT_TRUE(process_->set_time_stamp_trap(TimeStampTrap::On, &error)) << error;
  expect_stop(code, Kind::Instruction, 0);
  ASSERT_TRUE(process_->set_time_stamp_trap(TimeStampTrap::Off, &error)) << error;
  expect_stop(code, Kind::Instruction, 2);
}

TEST_F(DirectProcessTest, CpuidIsGuardedAsAsked) {
  std::string error;
  const auto sweeping = DirectHost::create(ram_->descriptor(), CpuidGuard::Sweep, &error);
  ASSERT_NE(sweeping, nullptr) << error;
  EXPECT_FALSE(sweeping->traps().cpuid);
  const auto faulting = DirectHost::create(ram_->descriptor(), CpuidGuard::Fault, &error);
  EXPECT_EQ(faulting != nullptr, host_->traps().cpuid) << error;
  if (faulting != nullptr) return;
  EXPECT_EQ(error, "CPUID cannot be made to fault on this processor");
}

// The byte before is part of another instruction, or in a page that is not mapped.
TEST_F(DirectProcessTest, BreakpointIsFoundWhateverIsBeforeIt) {
  expect_stop({0xb0, 0xcd, 0xcc}, Kind::Instruction, 2);  // mov al, 0xcd; int3
  expect_stop({0xb0, 0x0f, 0xf1}, Kind::Instruction, 2);  // mov al, 0x0f; icebp
  expect_stop({0xcc}, Kind::Instruction, 0);
  expect_stop({0xcd, 0x80}, Kind::Instruction, 0);
}

TEST_F(DirectProcessTest, BoundStopsAtItWhenItTraps) {
  state_.reg(Gpr::Eax) = 7;
  state_.reg(Gpr::Ebx) = kData;
  expect_stop({0x90, 0x62, 0x03}, Kind::Instruction, 1);  // bound eax, [ebx]: 0 to 0
}

TEST_F(DirectProcessTest, AccessWithoutMappingIsAPageFaultAtItsAddress) {
  // mov eax, [0x00300010]
  const DirectStop stop = run({0x90, 0xa1, 0x10, 0, 0x30, 0});
  EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::PageFault));
  EXPECT_EQ(stop.address, GuestVirtual(0x300010U));
  EXPECT_EQ(state_.eip, kCode + 1);
}

TEST_F(DirectProcessTest, RightsOfMappingsHold) {
  state_.reg(Gpr::Eax) = kCode;
  DirectStop stop = run({0x88, 0x00});  // mov [eax], al: code is not writable
  EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::PageFault));
  EXPECT_EQ(stop.address, GuestVirtual(kCode));
  state_.reg(Gpr::Eax) = kData;
  stop = run({0xff, 0xe0});  // jmp eax: data is not executable
  EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::PageFault));
  EXPECT_EQ(stop.address, GuestVirtual(kData));
  EXPECT_EQ(state_.eip, kData);
}

TEST_F(DirectProcessTest, StoresReachGuestRam) {
  state_.reg(Gpr::Eax) = 0xabcdef01;
  // mov [kData + 4], eax; hlt
  expect_stop({0xa3, 4, 0, 0x20, 0, 0xf4}, Kind::Instruction, 5);
  EXPECT_EQ(ram32(2 * kPageSize + 4), 0xabcdef01U);
}

TEST_F(DirectProcessTest, ProtectAndUnmapTakeRightsAway) {
  const Code store = {0xa3, 0, 0, 0x20, 0, 0xf4};
  expect_stop(store, Kind::Instruction, 5);
  carry_out({command_to_protect(kDataPage, HostAccess::Read)});
  expect_stop(store, Kind::PageFault, 0);
  carry_out({command_to_map(kDataPage, kDataFrame, 1, HostAccess::ReadWrite)});
  expect_stop(store, Kind::Instruction, 5);
  carry_out({command_to_unmap(kDataPage, 1)});
  expect_stop(store, Kind::PageFault, 0);
}

TEST_F(DirectProcessTest, FlagsMakeTheRoundTrip) {
  constexpr uint32_t kSet = kFlagsArithmetic | kFlagDf;
  state_.eflags = kFlagReservedOne | kFlagIf | kSet;
  expect_stop({0xf4}, Kind::Instruction, 0);
  EXPECT_EQ(state_.eflags, kFlagReservedOne | kFlagIf | kSet);
  // The code sees them: pushf; pop eax; hlt
  expect_stop({0x9c, 0x58, 0xf4}, Kind::Instruction, 2);
  EXPECT_EQ(state_.reg(Gpr::Eax), kFlagReservedOne | kFlagIf | kSet);
  // And changes them: xor eax, eax; cld; hlt
  expect_stop({0x31, 0xc0, 0xfc, 0xf4}, Kind::Instruction, 3);
  EXPECT_EQ(state_.eflags & (kFlagCf | kFlagZf | kFlagDf | kFlagOf), kFlagZf);
}

TEST_F(DirectProcessTest, PopfDoesNotReachInterruptFlagOrIopl) {
  // push 0x3002; popf; hlt
  expect_stop({0x68, 2, 0x30, 0, 0, 0x9d, 0xf4}, Kind::Instruction, 6);
  EXPECT_EQ(state_.eflags, kFlagReservedOne | kFlagIf);
}

TEST_F(DirectProcessTest, IdentificationFlagIsThePropertyOfTheProcess) {
  // pushf; xor dword [esp], 1 << 21; popf; hlt
  expect_stop({0x9c, 0x81, 0x34, 0x24, 0, 0, 0x20, 0, 0x9d, 0xf4}, Kind::Instruction, 9);
  EXPECT_NE(state_.eflags & kFlagId, 0U);
  EXPECT_TRUE(process_->accepts(state_));
  state_.eflags &= ~kFlagId;
  EXPECT_FALSE(process_->accepts(state_));
}

TEST_F(DirectProcessTest, TrapFlagIsASingleStepAfterTheNextInstruction) {
  // push 0x102; popf; nop; nop
  expect_stop({0x68, 2, 1, 0, 0, 0x9d, 0x90, 0x90}, Kind::SingleStep, 7);
  EXPECT_NE(state_.eflags & kFlagTf, 0U);
}

TEST_F(DirectProcessTest, InterruptInstructionUnderTheTrapFlagIsTheInstruction) {
  expect_stop({0x68, 2, 1, 0, 0, 0x9d, 0xcd, 0x80}, Kind::Instruction, 6);
  expect_stop({0x68, 2, 1, 0, 0, 0x9d, 0xcc}, Kind::Instruction, 6);
}

TEST_F(DirectProcessTest, FpuStateMakesTheRoundTrip) {
  constexpr std::array<float, 4> kFirst = {1.5F, -2.0F, 3.25F, 1e10F};
  std::memcpy(state_.fxsave.data() + kXmm0At, kFirst.data(), sizeof(kFirst));
  constexpr uint32_t kRoundDown = 0x3f80;
  std::memcpy(state_.fxsave.data() + kMxcsrAt, &kRoundDown, sizeof(kRoundDown));
  // addps xmm0, xmm0; stmxcsr [kData]; fld1; fldpi; hlt
  expect_stop({0x0f, 0x58, 0xc0, 0x0f, 0xae, 0x1d, 0, 0, 0x20, 0, 0xd9, 0xe8, 0xd9, 0xeb, 0xf4},
              Kind::Instruction, 14);
  std::array<float, 4> sum{};
  std::memcpy(sum.data(), state_.fxsave.data() + kXmm0At, sizeof(sum));
  EXPECT_EQ(sum, (std::array<float, 4>{3.0F, -4.0F, 6.5F, 2e10F}));
  EXPECT_EQ(ram32(2 * kPageSize), kRoundDown);
  constexpr size_t kTagAt = 4;
  EXPECT_EQ(state_.fxsave[kTagAt], 0xc0) << "two x87 registers in use";
  // The code sees the monitor's changes in between: fstp qword [kData]; hlt
  constexpr size_t kStackTopExponentAt = 32 + 8;
  state_.fxsave[kStackTopExponentAt + 1] |= 0x80;  // sign of ST(0)
  expect_stop({0xdd, 0x1d, 0, 0, 0x20, 0, 0xf4}, Kind::Instruction, 6);
  double stored = 0;
  std::memcpy(&stored, ram_->at(GuestPhysical(2 * kPageSize)), sizeof(stored));
  EXPECT_DOUBLE_EQ(stored, -3.14159265358979323846);
}

TEST_F(DirectProcessTest, FsAndGsHaveBasesOfTheirOwn) {
  state_.seg(SegmentRegister::Fs) = flat_data(kData + 0x10);
  state_.seg(SegmentRegister::Gs) = flat_data(kData + 0x20);
  write_ram(2 * kPageSize + 0x10, {1, 0, 0, 0});
  write_ram(2 * kPageSize + 0x20, {2, 0, 0, 0});
  // mov eax, fs:[0]; mov ecx, gs:[0]; hlt
  const Code code = {0x64, 0xa1, 0, 0, 0, 0, 0x65, 0x8b, 0x0d, 0, 0, 0, 0, 0xf4};
  expect_stop(code, Kind::Instruction, 13);
  EXPECT_EQ(state_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(state_.reg(Gpr::Ecx), 2U);
  state_.seg(SegmentRegister::Gs) = flat_data(kData + 0x10);
  expect_stop(code, Kind::Instruction, 13);
  EXPECT_EQ(state_.reg(Gpr::Ecx), 1U);
  // A base near the top wraps.
  state_.seg(SegmentRegister::Gs) = flat_data(0xfffffff0U);
  write_ram(2 * kPageSize + 0x30, {3, 0, 0, 0});
  // mov ecx, gs:[kData + 0x40]; hlt
  expect_stop({0x65, 0x8b, 0x0d, 0x40, 0, 0x20, 0, 0xf4}, Kind::Instruction, 7);
  EXPECT_EQ(state_.reg(Gpr::Ecx), 3U);
}

TEST_F(DirectProcessTest, NullFsFaults) {
  state_.seg(SegmentRegister::Fs) = SegmentCache{};
  expect_stop({0x64, 0xa1, 0, 0, 0x20, 0}, Kind::Instruction, 0);
}

// Only the tracer's thread may stop the process: the other one comes through its signal handler.
TEST_F(DirectProcessTest, AttentionRaisedByAnotherThreadEndsAnEndlessLoop) {
  Attention attention;
  std::string error;
  ASSERT_TRUE(HostSignals::install(nullptr, &attention, &error)) << error;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(attention.enter(process_->id()));
    std::thread other([&attention, i] {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 100));
      attention.raise();
    });
    expect_stop({0xeb, 0xfe}, Kind::Kicked, 0);
    attention.leave();
    other.join();
    attention.take();
  }
  HostSignals::uninstall();
}

TEST_F(DirectProcessTest, AttentionRaisedByASignalEndsAnEndlessLoop) {
  Attention attention;
  std::string error;
  ASSERT_TRUE(HostSignals::install(nullptr, &attention, &error)) << error;
  ASSERT_TRUE(attention.enter(process_->id()));
  std::thread other([me = pthread_self()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pthread_kill(me, SIGUSR1);  // asks for a report
  });
  expect_stop({0xeb, 0xfe}, Kind::Kicked, 0);
  attention.leave();
  other.join();
  EXPECT_TRUE(HostSignals::take_report_request());
  HostSignals::uninstall();
}

TEST_F(DirectProcessTest, TheProcessMovesToAnotherProcessorByItself) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int last = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  EXPECT_TRUE(process_->placement().confine(one));
  cpu_set_t found;
  CPU_ZERO(&found);
  ASSERT_EQ(sched_getaffinity(process_->id(), sizeof(found), &found), 0);
  EXPECT_TRUE(CPU_EQUAL(&found, &one));
  expect_stop({0xf4}, Kind::Instruction, 0);
}

TEST_F(DirectProcessTest, KickBeforeTheRunIsNotLost) {
  interrupt_traced_process(process_->id());
  expect_stop({0xeb, 0xfe}, Kind::Kicked, 0);
  expect_stop({0xf4}, Kind::Instruction, 0);
}

TEST_F(DirectProcessTest, KickDoesNotDisturbCommands) {
  interrupt_traced_process(process_->id());
  carry_out({command_to_unmap(kDataPage, 1)});
  expect_stop({0xa3, 0, 0, 0x20, 0}, Kind::PageFault, 0);
}

TEST_F(DirectProcessTest, SignalSentByAnotherIsAKickAndNoFault) {
  for (const int signal : {SIGSEGV, SIGTRAP, SIGFPE, SIGTERM, SIGINT}) {
    kill(process_->id(), signal);
    expect_stop({0xeb, 0xfe}, Kind::Kicked, 0);
  }
}

TEST_F(DirectProcessTest, SixtyFourBitModeIsAnEscape) {
  // jmp 0x33:kCode + 16; there: mov ecx, 1; and one way or another on.
  const Code far_jump = {0xea, 0x10, 0,    0x10, 0,    0x33, 0, 0x90, 0x90, 0x90, 0x90,
                         0x90, 0x90, 0x90, 0x90, 0x90, 0xb9, 1, 0,    0,    0};
  const std::vector<Code> endings = {
      {0xb8, 39, 0, 0, 0, 0x0f, 0x05},                         // getpid
      {0xb8, 231, 0, 0, 0, 0x0f, 0x05},                        // exit_group
      {0xb8, 1, 0, 0, 0, 0xcd, 0x80},                          // int 0x80: exit
      {0xbd, 0, 0, 0x20, 0, 0x0f, 0x34},                       // mov ebp, kData; sysenter
      {0xf4},                                                  // hlt
      {0x48, 0x31, 0xc0, 0x48, 0xff, 0xc8, 0x8a, 0x00},        // mov al, [-1]
      {0x48, 0xb8, 0, 0, 0, 0, 0, 0x40, 0, 0, 0x88, 0x00},     // mov [stub], al
      {0x48, 0xb8, 0, 0x10, 0, 0, 0, 0x40, 0, 0, 0x88, 0x00},  // mov [commands], al
  };
  for (const Code& ending : endings) {
    SCOPED_TRACE(testing::PrintToString(ending));
    Code code = far_jump;
    code.insert(code.end(), ending.begin(), ending.end());
    expect_escape(code);
  }
  // call far does the same.
  expect_escape({0x9a, 0x10, 0,    0x10, 0,    0x33, 0, 0x90, 0x90, 0x90, 0x90,
                 0x90, 0x90, 0x90, 0x90, 0x90, 0xb9, 1, 0,    0,    0,    0xf4});
}

TEST_F(DirectProcessTest, StubDoesNothingForGuestCode) {
  // 64-bit: mov rax, stub; rbx and rbp as chosen, one command in guest RAM: exit_group. jmp rax
  const Code code = {0xea, 0x10, 0,    0x10, 0, 0x33, 0,    0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
                     0x90, 0x90, 0x90, 0xbb, 0, 0,    0x20, 0,    0xbd, 1,    0,    0,    0,
                     0x48, 0xb8, 0,    0,    0, 0,    0,    0x40, 0,    0,    0xff, 0xe0};
  write_ram(2 * kPageSize, {SYS_exit_group, 0, 0, 0, 0, 0, 0, 0});
  expect_escape(code);
  write_ram(2 * kPageSize,
            {SYS_munmap, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0x10, 0, 0});
  expect_escape(code);
  // Its mapping is where it was: mov al, [kData]; hlt
  expect_stop({0xa0, 0, 0, 0x20, 0, 0xf4}, Kind::Instruction, 5);
}

TEST_F(DirectProcessTest, LoadingASegmentRegisterIsAnEscape) {
  state_.seg(SegmentRegister::Gs) = flat_data(kData);
  const std::vector<Code> cases = {
      {0x31, 0xc0, 0x8e, 0xe8, 0xf4},           // xor eax, eax; mov gs, eax
      {0xb8, 0x2b, 0, 0, 0, 0x8e, 0xe8, 0xf4},  // mov eax, 0x2b; mov gs, eax: its base goes
      {0x31, 0xc0, 0x8e, 0xd8, 0xf4},           // mov ds, eax
      {0xb8, 0x33, 0, 0, 0, 0x8e, 0xe0, 0xf4},  // mov fs, 0x33
  };
  for (const Code& code : cases) {
    SCOPED_TRACE(testing::PrintToString(code));
    expect_escape(code);
  }
  // Escapes leave the process usable, should anybody want to.
  expect_stop({0xf4}, Kind::Instruction, 0);
}

TEST_F(DirectProcessTest, FastSystemCallsThatEnterTheHostAreEscapes) {
  state_.reg(Gpr::Esp) = kData + 0x800;
  if (!host_->traps().sysenter) expect_escape({0x89, 0xe5, 0x0f, 0x34});  // mov ebp, esp; sysenter
  if (!host_->traps().syscall) expect_escape({0x89, 0xe5, 0x0f, 0x05});   // mov ebp, esp; syscall
}

// The host's kernel answers a call of the vsyscall page without the tracer; the filter does not.
TEST_F(DirectProcessTest, VsyscallEndsTheProcessAsAnEscape) {
  // jmp 0x33:kCode + 16; there, 64-bit: mov rax, -0xa00000; call rax
  const DirectStop stop =
      run({0xea, 0x10, 0,    0x10, 0,    0x33, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
           0x90, 0x90, 0x90, 0x48, 0xc7, 0xc0, 0, 0,    0x60, 0xff, 0xff, 0xd0});
  EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::Escaped));
  EXPECT_EQ(state_.eip, kCode);
}

TEST_F(DirectProcessTest, KilledFromOutsideIsGone) {
  std::thread killer([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    kill(process_->id(), SIGKILL);
  });
  EXPECT_EQ(static_cast<int>(run({0xeb, 0xfe}).kind), static_cast<int>(Kind::Gone));
  killer.join();
  EXPECT_EQ(static_cast<int>(run({0xf4}).kind), static_cast<int>(Kind::Gone)) << "once more";
  EXPECT_NE(refusal_of(command_to_unmap(kDataPage, 1)).find("gone"), std::string::npos);
}

TEST_F(DirectProcessTest, RefusedMappingSaysWhy) {
  const std::string error = refusal_of(command_to_map(kDataPage, kDataFrame, 0, HostAccess::Read));
  EXPECT_NE(error.find("refused a mapping"), std::string::npos) << error;
  EXPECT_NE(error.find("Invalid argument"), std::string::npos) << error;
}

TEST_F(DirectProcessTest, FilterEndsAProcessThatAsksForAnythingElse) {
  DirectCommand ask;
  ask.number = SYS_getpid;
  EXPECT_NE(refusal_of(ask).find("gone"), std::string::npos);
}

TEST_F(DirectProcessTest, FilterRefusesPagesThatAreWritableAndExecutable) {
  DirectCommand map = command_to_map(kDataPage, kDataFrame, 1, HostAccess::ReadWrite);
  map.arguments[2] |= 4;  // PROT_EXEC
  EXPECT_NE(refusal_of(map).find("gone"), std::string::npos);
}

TEST_F(DirectProcessTest, FilterRefusesAnythingAboveFourGiB) {
  DirectCommand map = command_to_map(kDataPage, kDataFrame, 1, HostAccess::ReadWrite);
  map.arguments[0] += uint64_t{1} << 32;
  EXPECT_NE(refusal_of(map).find("gone"), std::string::npos);
}

TEST_F(DirectProcessTest, CommandsAreClearedOnceCarriedOut) {
  carry_out(std::vector<DirectCommand>(kDirectCommands + 5,
                                       command_to_map(kDataPage, kDataFrame, 1, HostAccess::Read)));
  std::vector<uint8_t> seen(kDirectCommandBytes, 0xff);
  iovec here{seen.data(), seen.size()};
  iovec there{reinterpret_cast<void*>(uintptr_t{kDirectCommandsAddress}), seen.size()};
  ASSERT_EQ(process_vm_readv(process_->id(), &here, 1, &there, 1, 0),
            static_cast<ssize_t>(seen.size()));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), static_cast<ssize_t>(seen.size()));
}

TEST_F(DirectProcessTest, ProcessHoldsNoDescriptorButGuestRam) {
  EXPECT_EQ(names_in(process_->id(), "fd"),
            std::vector<std::string>{std::to_string(kDirectRamDescriptor)});
}

TEST_F(DirectProcessTest, ProcessHasNothingMappedButStubAndCommands) {
  carry_out({command_to_unmap(GuestVirtualPage(0), 1U << 20)});
  for (const std::string& line : lines_of(process_->id(), "maps")) {
    const bool ours = line.rfind("400000000000-400000001000 r-xp", 0) == 0 ||
                      line.rfind("400000001000-400000011000 r--s", 0) == 0 ||
                      line.find("[vsyscall]") != std::string::npos;
    EXPECT_TRUE(ours) << line;
  }
}

TEST_F(DirectProcessTest, ProcessIsNamedTracedAndFiltered) {
  const std::vector<std::string> status = lines_of(process_->id(), "status");
  const std::vector<std::string> expected = {"Name:\tringshift-user",
                                             "TracerPid:\t" + std::to_string(getpid()),
                                             "Seccomp:\t2", "NoNewPrivs:\t1"};
  for (const std::string& wanted : expected) {
    EXPECT_NE(std::find(status.begin(), status.end(), wanted), status.end()) << wanted;
  }
}

TEST_F(DirectProcessTest, DestructionLeavesNoProcess) {
  const pid_t id = process_->id();
  ASSERT_TRUE(exists(id));
  process_.reset();
  EXPECT_FALSE(exists(id));
}

TEST_F(DirectProcessTest, ProcessesDoNotSeeEachOthersMappings) {
  std::string error;
  const std::unique_ptr<DirectProcess> other = host_->spawn(&error);
  ASSERT_NE(other, nullptr) << error;
  write_code({0xf4});
  state_.eip = kCode;
  const DirectStop stop = other->run(&state_);
  EXPECT_EQ(static_cast<int>(stop.kind), static_cast<int>(Kind::PageFault));
  EXPECT_EQ(stop.address, GuestVirtual(kCode));
}

TEST_F(DirectProcessTest, DestroyedHostLeavesNoProcess) {
  const std::string children = "/proc/self/task/" + std::to_string(getpid()) + "/children";
  process_.reset();
  host_.reset();
  std::ifstream stream(children);
  const std::string left((std::istreambuf_iterator<char>(stream)), {});
  EXPECT_EQ(left, "");
}

}  // namespace
}  // namespace ringshift

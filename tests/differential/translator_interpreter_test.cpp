// Random instructions by the translator and by the interpreter: registers, flags, FPU state and all
// of RAM must agree. Flags that the manual leaves undefined are masked, as the decoder lists them.
// Seeds are constants; RINGSHIFT_DIFFERENTIAL_SEED tries another.
#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "tests/support/interpreter_fixture.h"
#include "tests/support/translator_fixture.h"
#include "translator/classify.h"
#include "translator/disassemble.h"

namespace ringshift {
namespace {

constexpr uint32_t kCodeAt = 0x30000;
constexpr uint32_t kFsBase = 0x11000;
constexpr uint32_t kGsBase = 0x22000;
constexpr size_t kFxsaveControl = 6;  // FCW, FSW, FTW; then FOP and the pointers
constexpr size_t kFxsaveMxcsr = 24;
constexpr size_t kFxsaveRegisters = 32;  // after MXCSR_MASK, the host's own
constexpr size_t kFxsaveEnd = 288;       // XMM7's last byte

TranslatorConfig one_instruction_units() {
  TranslatorConfig config;
  config.limits.max_instructions = 1;
  config.features.tzcnt = CpuModel().bmi1;
  return config;
}

class Differential : public InterpreterFixture, public ::testing::WithParamInterface<AccessStyle> {
 protected:
  Differential() : machine_(GetParam(), one_instruction_units()), random_(seed()) {
    for (uint32_t page = 0; page < TranslatorMachine::kRamBytes; page += kPageSize) {
      machine_.set_page_access(TranslatorMachine::kKernelBase + page, HostAccess::None);
    }
    // Nothing here drops translations: code that overwrites itself would differ by right.
    machine_.set_page_access(kCodeAt, HostAccess::Read);
    state.seg(SegmentRegister::Fs).base = kFsBase;
    state.seg(SegmentRegister::Gs).base = kGsBase;
    state.cr4 |= kCr4Osfxsr;
    state.fxsave = machine_.state().fxsave;
    machine_.set_flat_segment(SegmentRegister::Fs, kFsBase);
    machine_.set_flat_segment(SegmentRegister::Gs, kGsBase);
    machine_.slots().fpu_loaded = machine_.slots().x87_live = machine_.slots().sse_live = 1;
    for (uint32_t at = 0x40000; at < kRamBytes; at += 4) set32(at, number());
  }
  [[nodiscard]] static uint64_t seed() {
    const char* given = std::getenv("RINGSHIFT_DIFFERENTIAL_SEED");
    return given == nullptr ? 77 : std::strtoull(given, nullptr, 0);
  }
  [[nodiscard]] uint32_t number() { return static_cast<uint32_t>(random_()); }
  [[nodiscard]] uint8_t* oracle_ram() { return cpu().memory.physical().ram().at(GuestPhysical(0)); }

  // Bytes that are more often than not an instruction with a memory operand in RAM.
  void random_code() {
    constexpr std::array<uint8_t, 6> kPrefixes = {0x66, 0xf0, 0xf2, 0xf3, 0x64, 0x65};
    uint32_t at = kCodeAt;
    if (number() % 4 == 0) set8(at++, kPrefixes[number() % kPrefixes.size()]);
    if (number() % 3 == 0) set8(at++, 0x0f);
    for (uint32_t i = 0; i < 16; ++i) set8(at++, static_cast<uint8_t>(number()));
    // Displacements that stay near: the upper half of a dword zero.
    if (number() % 2 == 0) {
      const uint32_t zeros = kCodeAt + 4 + number() % 3;
      set16(zeros, 0);
    }
  }
  void random_registers() {
    for (uint32_t& value : state.gpr) {
      const uint32_t roll = number() % 4;
      value = roll == 0 ? number() : roll == 1 ? number() % 64 : 0x40000 + number() % 0x80000;
    }
    state.reg(Gpr::Esp) = 0x60000 + (number() % 0x1000) * 4;
    if (number() % 2 == 0) state.reg(Gpr::Ecx) &= 0xff;
    state.eflags = kFlagReservedOne | (number() & (kFlagsArithmetic | kFlagDf | kFlagIf));
    state.eip = kCodeAt;
    state.interrupt_shadow = 0;
  }
  // Copies state and RAM to the translator's machine, and forgets what it translated.
  void copy_to_machine() {
    machine_.forget_code();
    machine_.state() = state;
    std::memcpy(machine_.ram(0), oracle_ram(), kRamBytes);
  }
  [[nodiscard]] const UnitInstruction& subject() const {
    return machine_.translator->last_unit().instructions[0];
  }
  [[nodiscard]] Exit run_machine() {
    Exit exit = machine_.run_once();
    while (exit.reason == ExitReason::SoftMiss && machine_.fill_soft_tlb(exit)) {
      exit = machine_.run_once();
    }
    return exit;
  }
  StepResult run_oracle() {
    StepResult result = step();
    while (subject().family == Family::String && result.kind == StepKind::Done &&
           state.eip == kCodeAt) {
      result = step();
    }
    return result;
  }
  [[nodiscard]] uint32_t compared_flags() const {
    const ZydisAccessedFlags* flags = subject().instruction.facts.cpu_flags;
    const uint32_t all = kFlagsArithmetic | kFlagDf | kFlagIf;
    return flags == nullptr ? all : all & ~flags->undefined;
  }
  [[nodiscard]] std::string describe() const {
    const GuestInstruction& instruction = subject().instruction;
    std::string text = disassemble_guest(instruction, Eip(kCodeAt)) + " (";
    for (size_t i = 0; i < instruction.length; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      text += {kDigits[instruction.bytes[i] >> 4], kDigits[instruction.bytes[i] & 15], ' '};
    }
    return text + ") seed " + std::to_string(seed());
  }
  void expect_same_state() {
    const GuestState& translated = machine_.state();
    EXPECT_EQ(translated.eip, state.eip);
    for (size_t i = 0; i < kGprCount; ++i) {
      EXPECT_EQ(translated.gpr[i], state.gpr[i]) << "register " << i;
    }
    EXPECT_EQ(translated.eflags & compared_flags(), state.eflags & compared_flags());
    EXPECT_EQ(std::memcmp(machine_.ram(0), oracle_ram(), kRamBytes), 0) << "RAM differs";
    const auto& a = translated.fxsave;
    const auto& b = state.fxsave;
    EXPECT_EQ(std::memcmp(&a[0], &b[0], kFxsaveControl), 0) << "x87 control";
    EXPECT_EQ(std::memcmp(&a[kFxsaveMxcsr], &b[kFxsaveMxcsr], sizeof(uint32_t)), 0) << "MXCSR";
    EXPECT_EQ(
        std::memcmp(&a[kFxsaveRegisters], &b[kFxsaveRegisters], kFxsaveEnd - kFxsaveRegisters), 0)
        << "FPU registers";
  }
  // A fault in the middle must look as if the instruction had not begun.
  void expect_untouched(const GuestState& before) {
    EXPECT_EQ(machine_.state().eip, kCodeAt);
    EXPECT_EQ(machine_.state().gpr, before.gpr);
    EXPECT_EQ(machine_.state().eflags, before.eflags);
  }
  // A repeated string instruction may have done a part, as after an interrupt (SDM 2B REP).
  void expect_part_done(const GuestState& before) {
    const uint32_t left = machine_.state().reg(Gpr::Ecx);
    if (subject().family != Family::String || left == before.reg(Gpr::Ecx)) {
      return expect_untouched(before);
    }
    state.reg(Gpr::Ecx) = before.reg(Gpr::Ecx) - left;
    (void)run_oracle();
    state.reg(Gpr::Ecx) = left;
    state.eip = kCodeAt;
    expect_same_state();
  }
  void expect_fault_is_deserved(const Exit& exit) {
    const uint64_t offset = exit.fault.address - machine_.window();
    const bool writes_code = exit.fault.is_write && offset - kCodeAt < kPageSize;
    constexpr uint32_t kPageFault = 14;
    if (exit.fault.trap_number == kPageFault && !writes_code) {
      EXPECT_GE(offset, kRamBytes) << "a fault on RAM";
    }
  }

  TranslatorMachine machine_;

 private:
  std::mt19937_64 random_;
};

TEST_P(Differential, RandomInstructionsAgree) {
  constexpr uint32_t kCases = 20000;
  uint32_t compared = 0;
  for (uint32_t i = 0; i < kCases && !HasFailure(); ++i) {
    random_code();
    random_registers();
    copy_to_machine();
    (void)machine_.fragment_at_eip(kCodeAt);
    if (subject().family == Family::Interpret || subject().family == Family::Callout) continue;
    const GuestState before = state;
    SCOPED_TRACE(describe());
    const Exit exit = run_machine();
    if (exit.reason == ExitReason::SoftMiss) {
      expect_part_done(before);
      continue;
    }
    if (exit.reason == ExitReason::HostFault) {
      if (subject().family != Family::String) expect_untouched(before);
      expect_fault_is_deserved(exit);
      continue;
    }
    if (exit.reason == ExitReason::Interpret) continue;
    const StepResult result = run_oracle();
    ASSERT_EQ(result.kind, StepKind::Done)
        << result.message << " vector " << static_cast<unsigned>(result.fault.vector);
    expect_same_state();
    ++compared;
  }
  EXPECT_GT(compared, kCases / 10);
}

INSTANTIATE_TEST_SUITE_P(Styles, Differential,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

}  // namespace
}  // namespace ringshift

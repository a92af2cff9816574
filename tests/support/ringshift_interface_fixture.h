// RingshiftInterfaceFixture: a CPU with an interpreter, and the interface of our own as its
// hypervisor. Owns: all of it. Calls go through WRMSR, as a guest's do.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/paravirt/ringshift_interface.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/support/interpreter_fixture.h"

namespace ringshift {

class RingshiftInterfaceFixture : public InterpreterFixture {
 protected:
  using Call = RingshiftInterface::Call;
  static constexpr uint32_t kShared = 0x60000, kCodeOfCalls = 0x61000, kTable = 0x62000,
                            kArray = 0x63000, kFrame = 0x66000;
  static constexpr uint64_t kHertz = 2'000'000'000;

  RingshiftInterfaceFixture() {
    model.paravirt = Paravirt::Ringshift;
    model.tsc_hz = kHertz;
    calls_ = make();
    cpu().hypervisor = calls_.get();
    state.eflags |= kFlagIf;
  }
  std::unique_ptr<RingshiftInterface> make() {
    return std::make_unique<RingshiftInterface>(RingshiftSurroundings{
        .memory = cpu().memory.physical(),
        .tsc = tsc_,
        .model = model,
        .clock = clock_,
        .time_of_day = [this] { return day_; },
        .print =
            [this](std::span<const uint8_t> bytes) { printed_.append(bytes.begin(), bytes.end()); },
        .acknowledge = [this] { return std::exchange(waiting_, {}); },
        .yield = [this] { ++yields_; }});
  }
  void share() { ASSERT_TRUE(calls_->write_msr(RingshiftInterface::kSharedPage, kShared | 1)); }
  // Puts the registers, and executes the WRMSR that calls.
  StepResult call(Call number, uint32_t edx = 0, uint32_t ebx = 0, uint32_t esi = 0) {
    eax() = static_cast<uint32_t>(number);
    ecx() = RingshiftInterface::kCall;
    this->edx() = edx;
    this->ebx() = ebx;
    state.reg(Gpr::Esi) = esi;
    return step({0x0f, 0x30});  // wrmsr
  }
  // Makes a call, and returns its answer in EAX.
  uint32_t ask(Call number, uint32_t edx = 0, uint32_t ebx = 0, uint32_t esi = 0) {
    const StepResult result = call(number, edx, ebx, esi);
    EXPECT_EQ(result.kind, StepKind::Done);
    return eax();
  }
  void put_update(uint32_t index, uint32_t entry, uint32_t invalid, uint64_t value) {
    set32(kArray + index * 16, entry);
    set32(kArray + index * 16 + 4, invalid);
    set32(kArray + index * 16 + 8, static_cast<uint32_t>(value));
    set32(kArray + index * 16 + 12, static_cast<uint32_t>(value >> 32));
  }

  ManualClock clock_;
  Nanoseconds day_ = 1'700'000'000'000'000'000;
  std::string printed_;
  std::optional<uint8_t> waiting_;
  int yields_ = 0;
  std::unique_ptr<RingshiftInterface> calls_;
};

}  // namespace ringshift

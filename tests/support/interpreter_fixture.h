// InterpreterFixture: a CpuFixture with an interpreter and the real FPU unit on it. Owns: both.
// Code goes to CS:EIP as bytes, encodings in the comments beside them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "monitor/interpreter/interpreter.h"
#include "tests/support/cpu_fixture.h"
#include "translator/fpu_unit.h"

namespace ringshift {

class InterpreterFixture : public CpuFixture {
 protected:
  static constexpr uint32_t kCode = 0x30000;  // where enter_ring() points EIP
  static constexpr uint32_t kData = 0x50000;

  InterpreterFixture() {
    std::string error;
    fpu_ = FpuUnit::create(&error);
    EXPECT_NE(fpu_, nullptr) << error;
    interpreter_ = std::make_unique<Interpreter>(cpu(), *fpu_);
  }

  void set8(uint32_t at, uint8_t value) {
    *cpu().memory.physical().ram().at(GuestPhysical(at)) = value;
  }

  // Puts the bytes at CS:EIP.
  void place(std::initializer_list<unsigned> bytes) {
    uint32_t at = state.seg(SegmentRegister::Cs).base + state.eip;
    for (const unsigned byte : bytes) set8(at++, static_cast<uint8_t>(byte));
  }
  [[nodiscard]] StepResult step() { return interpreter_->step(); }
  StepResult step(std::initializer_list<unsigned> bytes) {
    place(bytes);
    return interpreter_->step();
  }
  // Runs one instruction that must succeed.
  void run(std::initializer_list<unsigned> bytes) {
    const StepResult result = step(bytes);
    EXPECT_EQ(result.kind, StepKind::Done) << result.message;
  }
  // Runs one instruction that must fault, and gives the fault.
  GuestFault fault(std::initializer_list<unsigned> bytes) {
    const uint32_t eip = state.eip;
    const StepResult result = step(bytes);
    EXPECT_EQ(result.kind, StepKind::Fault) << result.message;
    EXPECT_EQ(state.eip, eip);
    return result.fault;
  }
  [[nodiscard]] Interpreter& interpreter() { return *interpreter_; }
  [[nodiscard]] uint32_t flags() const { return state.eflags & kFlagsArithmetic; }
  [[nodiscard]] uint32_t& eax() { return state.reg(Gpr::Eax); }
  [[nodiscard]] uint32_t& ecx() { return state.reg(Gpr::Ecx); }
  [[nodiscard]] uint32_t& edx() { return state.reg(Gpr::Edx); }
  [[nodiscard]] uint32_t& ebx() { return state.reg(Gpr::Ebx); }
  [[nodiscard]] uint32_t& esp() { return state.reg(Gpr::Esp); }
  [[nodiscard]] uint32_t& ebp() { return state.reg(Gpr::Ebp); }
  [[nodiscard]] uint32_t& esi() { return state.reg(Gpr::Esi); }
  [[nodiscard]] uint32_t& edi() { return state.reg(Gpr::Edi); }

 private:
  std::unique_ptr<FpuUnit> fpu_;
  std::unique_ptr<Interpreter> interpreter_;
};

}  // namespace ringshift

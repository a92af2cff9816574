// Boundary: one instruction interpreted and its requests, events, interrupts, the stop request.
#include "monitor/vcpu/boundary.h"

#include <gtest/gtest.h>

#include <initializer_list>

#include "devices/interrupts/interrupt_line.h"
#include "devices/interrupts/pic8259.h"
#include "tests/support/processor_machine.h"

namespace ringshift {
namespace {

constexpr uint32_t kCode = 0x1000, kStack = 0x8000, kHandler = 0x2000;
constexpr uint8_t kVector = 0x21;  // IRQ 1 behind a controller programmed for 0x20

// A processor in real mode: the table of vectors is at 0 (SDM 3A 20.1.4).
class BoundaryTest : public ::testing::Test {
 protected:
  BoundaryTest()
      : boundary_({.cpu = machine_.processor->cpu(),
                   .interpreter = machine_.processor->interpreter(),
                   .interrupts = interrupts_}) {
    GuestState& guest = state();
    guest.seg(SegmentRegister::Cs).base = guest.seg(SegmentRegister::Cs).selector = 0;
    guest.eip = kCode;
    guest.reg(Gpr::Esp) = kStack;
    for (uint32_t vector = 0; vector < 256; ++vector) machine_.set32(vector * 4, kHandler + vector);
    program_controller();
  }
  // ICW1 to ICW4 of a master at vector 0x20, all lines open (8259A datasheet).
  void program_controller() {
    PortDevice& ports = interrupts_.master_ports();
    ports.write(0, AccessWidth::Byte, 0x11);
    for (const uint32_t word : {0x20U, 0x04U, 0x01U, 0x00U})
      ports.write(1, AccessWidth::Byte, word);
  }
  void put(std::initializer_list<uint8_t> bytes) {
    uint8_t* at = machine_.ram->at(GuestPhysical(kCode));
    for (const uint8_t byte : bytes) *at++ = byte;
  }
  [[nodiscard]] GuestState& state() { return machine_.state(); }

  ProcessorMachine machine_{1U << 20};
  InterruptControllerPair interrupts_;
  Boundary boundary_;
};

TEST_F(BoundaryTest, InterpretsOneInstruction) {
  put({0x40, 0x40});  // inc ax, twice
  boundary_.interpret();
  EXPECT_EQ(state().reg(Gpr::Eax), 1U);
  EXPECT_EQ(state().eip, kCode + 1);
}

TEST_F(BoundaryTest, AFaultIsDelivered) {
  put({0x0f, 0x0b});  // ud2
  boundary_.interpret();
  EXPECT_EQ(state().eip, kHandler + 6);
  EXPECT_EQ(machine_.get32(kStack - 6) & 0xffffU, kCode) << "the faulting instruction";
}

TEST_F(BoundaryTest, ASoftwareInterruptReturnsBehindItself) {
  put({0xcd, 0x80});  // int 0x80
  boundary_.interpret();
  EXPECT_EQ(state().eip, kHandler + 0x80);
  EXPECT_EQ(machine_.get32(kStack - 6) & 0xffffU, kCode + 2);
}

TEST_F(BoundaryTest, HltHalts) {
  put({0xf4});
  boundary_.interpret();
  EXPECT_EQ(state().activity, ActivityState::Halted);
}

TEST_F(BoundaryTest, WhatIsNotImplementedStopsTheMachineByName) {
  put({0x0f, 0x0b});
  boundary_.stop().request(StopReason::Reset);
  boundary_.stop().request(StopReason::Unimplemented, "the thing");
  EXPECT_EQ(boundary_.stop().reason(), StopReason::Reset) << "the first reason stands";
}

TEST_F(BoundaryTest, AnInterruptWaitsForItsFlagAndItsShadow) {
  interrupts_.line(1).set_level(true);
  EXPECT_FALSE(boundary_.deliver_interrupt()) << "IF is clear";
  state().eflags |= kFlagIf;
  state().interrupt_shadow = 1;
  EXPECT_FALSE(boundary_.deliver_interrupt()) << "STI's shadow";
  state().interrupt_shadow = 0;
  EXPECT_TRUE(boundary_.deliver_interrupt());
  EXPECT_EQ(state().eip, kHandler + kVector);
  EXPECT_EQ(state().eflags & kFlagIf, 0U);
  EXPECT_FALSE(boundary_.deliver_interrupt()) << "it has been taken";
}

TEST_F(BoundaryTest, AnEventMakesTheContinuationVoid) {
  boundary_.continuation().resume_pc = 0x1234;
  boundary_.raise(GuestFault::simple(Vector::InvalidOpcode));
  EXPECT_EQ(boundary_.continuation().resume_pc, 0U);
  EXPECT_EQ(state().eip, kHandler + 6);
}

}  // namespace
}  // namespace ringshift

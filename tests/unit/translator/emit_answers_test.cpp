// CPUID from the table of answers, changes of ring that generated code does by itself, and what IN
// and OUT tell the monitor.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

const std::string kCpuid = "0f a2 ";
constexpr uint32_t kFlagsKept = kFlagReservedOne | kFlagsArithmetic | kFlagDf;

class Answers : public ::testing::Test {
 protected:
  CpuidAnswer& entry(uint32_t leaf) { return machine_.gate->frame().cpuid[cpuid_index(leaf)]; }
  void note(uint32_t leaf) {
    entry(leaf) = {.negated_leaf = 0U - leaf,
                   .is_for_all = 1,
                   .negated_subleaf = 1,
                   .eax = 0xa0000001,
                   .ebx = 0xb0000002,
                   .ecx = 0xc0000003,
                   .edx = 0xd0000004};
  }
  // Where an exit leaves the guest that asks for this leaf and subleaf.
  Exit ask(uint32_t leaf, uint32_t subleaf) {
    machine_.reg(Gpr::Eax) = leaf;
    machine_.reg(Gpr::Ecx) = subleaf;
    return machine_.run_code(kCpuid + "f4");
  }

  Machine machine_;
};

TEST_F(Answers, WhatIsNotNotedIsForTheMonitor) {
  for (uint32_t leaf : {0U, 1U, 2U, 0x40000000U, 0x80000001U, 0xfffffffeU, 0xffffffffU}) {
    for (uint32_t subleaf : {0U, 1U, 0xffffffffU}) {
      EXPECT_EQ(ask(leaf, subleaf).eip, Eip(Machine::kCode)) << leaf << ' ' << subleaf;
      EXPECT_EQ(machine_.slots().callout_kind, CalloutKind::Cpuid);
      EXPECT_EQ(machine_.reg(Gpr::Eax), leaf);
      EXPECT_EQ(machine_.reg(Gpr::Ecx), subleaf);
    }
  }
}

TEST_F(Answers, ANotedLeafIsAnsweredAndNoFlagChanges) {
  for (uint32_t leaf : {0U, 1U, 0x40000010U, 0x80000008U, 0xffffffffU}) {
    note(leaf);
    machine_.state().eflags = kFlagsKept;
    EXPECT_EQ(ask(leaf, 7).eip, Eip(Machine::kCode + 2)) << leaf;
    EXPECT_EQ(machine_.reg(Gpr::Eax), 0xa0000001U);
    EXPECT_EQ(machine_.reg(Gpr::Ebx), 0xb0000002U);
    EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xc0000003U);
    EXPECT_EQ(machine_.reg(Gpr::Edx), 0xd0000004U);
    EXPECT_EQ(machine_.state().eflags, kFlagsKept);
  }
  EXPECT_EQ(ask(2, 0).eip, Eip(Machine::kCode));
  EXPECT_EQ(ask(0x41, 0).eip, Eip(Machine::kCode));  // where 0x40000001 would be
}

TEST_F(Answers, ASubleafIsToldFromTheOthers) {
  note(4);
  entry(4).is_for_all = 0;
  entry(4).negated_subleaf = 0 - uint64_t{2};
  EXPECT_EQ(ask(4, 1).eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 1U);
  EXPECT_EQ(ask(4, 2).eip, Eip(Machine::kCode + 2));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xc0000003U);
}

// Two rings of one view.
class Rings : public ::testing::Test {
 protected:
  static constexpr uint32_t kEntry = 0x3000, kStackOfEntry = 0x4000, kBack = 0x5000;
  void SetUp() override {
    machine_.state().sysenter_eip = kEntry;
    machine_.state().sysenter_esp = kStackOfEntry;
    open(Privilege::Supervisor, 0xc09b0008, 0xc0930010);
    open(Privilege::User, 0xc0fb001b, 0xc0f30023);
  }
  void open(Privilege privilege, uint32_t cs, uint32_t ss) {
    RingView& ring = rings()[static_cast<size_t>(privilege)];
    ring.is_open = 1;
    ring.cs = cs;
    ring.ss = ss;
    ring.window_base = machine_.window();
    ring.window_negated = 0 - ring.window_base;
    ring.jump_table = machine_.slots().jump_table;
    machine_.gate->describe_returns(privilege, &ring);
  }
  RingViews& rings() { return machine_.gate->frame().rings; }

  Machine machine_;
};

TEST_F(Rings, SysenterGoesToRing0) {
  machine_.privilege = Privilege::User;
  machine_.gate->select_return_stack(Privilege::User);
  machine_.state().cpl = 3;
  machine_.state().eflags = kFlagsKept | kFlagIf;
  machine_.load(Machine::kCode, "0f 34");
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::IndirectMiss);
  const GuestState& state = machine_.state();
  EXPECT_EQ(state.eip, kEntry);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.eflags, kFlagsKept);
  EXPECT_EQ(machine_.reg(Gpr::Esp), kStackOfEntry);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, 8);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).attributes, 0xc09b);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, 0x10);
  EXPECT_EQ(machine_.slots().kernel_entries, 1U);
  EXPECT_EQ(machine_.slots().ring, static_cast<uint32_t>(Privilege::Supervisor));
}

TEST_F(Rings, SysexitGoesToRing3AndReturnsOfEachRingStayItsOwn) {
  machine_.state().eflags = kFlagsKept;
  machine_.reg(Gpr::Ecx) = Machine::kStack - 0x100;
  machine_.reg(Gpr::Edx) = kBack;
  const uint64_t of_ring_0 = machine_.slots().return_stack;
  machine_.load(Machine::kCode, "0f 35");
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::IndirectMiss);
  EXPECT_EQ(machine_.state().eip, kBack);
  EXPECT_EQ(machine_.state().cpl, 3);
  EXPECT_EQ(machine_.state().eflags, kFlagsKept);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 0x100);
  EXPECT_EQ(machine_.state().seg(SegmentRegister::Ss).selector, 0x23);
  EXPECT_NE(machine_.slots().return_stack, of_ring_0);
  machine_.gate->follow_ring();
  machine_.gate->select_return_stack(Privilege::Supervisor);
  EXPECT_EQ(machine_.slots().return_stack, of_ring_0);
}

// In ring 3 and back: what was kept of ring 3 before is no longer its return stack.
TEST_F(Rings, BothReturnStacksAreFollowedThereAndBack) {
  constexpr uint64_t kPending = 4 * sizeof(uint64_t);
  RingView& user = rings()[static_cast<size_t>(Privilege::User)];
  user.return_stack -= kPending;
  const uint64_t of_ring_3 = user.return_stack;
  machine_.gate->follow_ring();
  machine_.gate->select_return_stack(Privilege::User);
  EXPECT_EQ(machine_.slots().return_stack, of_ring_3);
}

TEST_F(Rings, AClosedRingIsForTheMonitor) {
  rings()[static_cast<size_t>(Privilege::User)].is_open = 0;
  machine_.reg(Gpr::Ecx) = 5;
  const Exit exit = machine_.run_code("0f 35");
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 5U);
  EXPECT_EQ(machine_.state().cpl, 0);
  EXPECT_EQ(machine_.slots().callout_kind, CalloutKind::SystemExit);
}

TEST_F(Rings, SysenterInRing0IsForTheMonitor) {
  EXPECT_EQ(machine_.run_code("0f 34").reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.slots().callout_kind, CalloutKind::SystemEnter);
}

struct Port {
  const char* code;
  uint32_t bytes;
  bool is_out;
  uint16_t port;
};

TEST(Ports, WidthAndPortAreToldToTheMonitor) {
  constexpr uint32_t kEdx = 0x123403f8;
  for (const Port& port :
       {Port{"e4 21", 1, false, 0x21}, Port{"66 e5 80", 2, false, 0x80},
        Port{"e5 ff", 4, false, 0xff}, Port{"ec", 1, false, 0x3f8}, Port{"66 ef", 2, true, 0x3f8},
        Port{"ef", 4, true, 0x3f8}, Port{"e6 70", 1, true, 0x70}}) {
    Machine machine;
    machine.reg(Gpr::Edx) = kEdx;
    EXPECT_EQ(machine.run_code(port.code).reason, ExitReason::Interpret);
    EXPECT_EQ(machine.slots().callout_kind, CalloutKind::Port) << port.code;
    const PortAccess access{machine.slots().exit_address};
    EXPECT_EQ(access.bytes(), port.bytes) << port.code;
    EXPECT_EQ(access.is_out(), port.is_out) << port.code;
    EXPECT_EQ(access.port(kEdx), port.port) << port.code;
  }
  Machine machine;
  machine.privilege = Privilege::User;
  EXPECT_EQ(machine.run_code("ec").reason, ExitReason::Interpret);
  EXPECT_EQ(machine.slots().callout_kind, CalloutKind::Any);
}

}  // namespace
}  // namespace ringshift

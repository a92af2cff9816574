#include "monitor/cpu/event_delivery.h"

#include "monitor/cpu/segments/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class EventDelivery : public CpuFixture {
 protected:
  [[nodiscard]] uint32_t esp() const { return state.reg(Gpr::Esp); }
  [[nodiscard]] static Event interrupt(uint8_t vector, uint32_t eip) {
    Event event;
    event.kind = EventKind::HardwareInterrupt;
    event.vector = vector;
    event.return_eip = Eip(eip);
    return event;
  }
  [[nodiscard]] static Event software(uint8_t vector, uint32_t next) {
    Event event = interrupt(vector, next);
    event.kind = EventKind::SoftwareInterrupt;
    return event;
  }
  DeliveryResult raise(const GuestFault& fault) {
    return deliver(cpu(), Event::from_fault(fault, state.pointer()), state.pointer());
  }
  // Expects that the handler of `vector` is running with this error code on top of the stack.
  void expect_handler(uint8_t vector, uint32_t error_code) {
    EXPECT_EQ(state.eip, handler(vector));
    EXPECT_EQ(get32(esp()), error_code);
  }
};

TEST_F(EventDelivery, InterruptAtTheSameRingPushesThreeWordsAndClearsIf) {
  state.eflags |= kFlagIf | kFlagTf | kFlagNt | kFlagRf | kFlagDf;
  state.activity = ActivityState::Halted;
  state.interrupt_shadow = 1;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x30001), Eip(0x30001)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, handler(0x20));
  EXPECT_EQ(esp(), kStackTop - 12);
  EXPECT_EQ(get32(esp()), 0x30001U);
  EXPECT_EQ(get32(esp() + 4), kCode0);
  EXPECT_EQ(get32(esp() + 8), kFlagReservedOne | kFlagIf | kFlagTf | kFlagNt | kFlagRf | kFlagDf);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagDf);
  EXPECT_EQ(state.activity, ActivityState::Running);
  EXPECT_EQ(state.interrupt_shadow, 0);
}

TEST_F(EventDelivery, AnNmiBlocksNmisUntilAnInterruptReturns) {
  Event nmi = interrupt(2, 0x30001);
  ASSERT_EQ(deliver(cpu(), nmi, Eip(0x30001)), DeliveryResult::Delivered);
  EXPECT_EQ(state.nmi_blocked, 0);  // vector 2 alone is no NMI
  nmi.kind = EventKind::Nmi;
  ASSERT_EQ(deliver(cpu(), nmi, Eip(0x30001)), DeliveryResult::Delivered);
  EXPECT_EQ(state.nmi_blocked, 1);
  ASSERT_FALSE(interrupt_return(cpu(), OperandSize::Bits32, Eip(0)));
  EXPECT_EQ(state.nmi_blocked, 0);
}

TEST_F(EventDelivery, TrapGateKeepsIf) {
  set_idt(0x20, kCode0, 0x8f);
  state.eflags |= kFlagIf;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eflags & kFlagIf, kFlagIf);
}

TEST_F(EventDelivery, PageFaultFromRingThreeSwitchesStackAndSetsCr2AndRf) {
  enter_ring(3);
  ASSERT_EQ(raise(GuestFault::page_fault(0xdeadb000, 7)), DeliveryResult::Delivered);
  EXPECT_EQ(state.cr2, 0xdeadb000U);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, kData0);
  EXPECT_EQ(esp(), kStack0 - 24);
  expect_handler(14, 7);
  EXPECT_EQ(get32(esp() + 4), 0x30000U);
  EXPECT_EQ(get32(esp() + 8), kCode3);
  EXPECT_EQ(get32(esp() + 12), kFlagReservedOne | kFlagRf);
  EXPECT_EQ(get32(esp() + 16), kStackTop);
  EXPECT_EQ(get32(esp() + 20), kData3);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).selector, kData3);
}

TEST_F(EventDelivery, SoftwareInterruptChecksGatePrivilege) {
  enter_ring(3);
  ASSERT_EQ(deliver(cpu(), software(0x20, 0x30002), Eip(0x30000)), DeliveryResult::Delivered);
  expect_handler(13, 0x20 * 8 + 2);
  EXPECT_EQ(get32(esp() + 4), 0x30000U) << "the fault is that of the INT instruction";
  enter_ring(3);
  set_idt(0x20, kCode0, 0xef);
  ASSERT_EQ(deliver(cpu(), software(0x20, 0x30002), Eip(0x30000)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, handler(0x20));
  EXPECT_EQ(get32(esp()), 0x30002U);
  EXPECT_EQ(get32(esp() + 8) & kFlagRf, 0U);
}

TEST_F(EventDelivery, IdtFaultsOfExternalEventsCarryTheExtBit) {
  set_idt(0x20, kCode0, 0x0e);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(11, 0x20 * 8 + 3);
  set_idt(0x21, kData0, 0x8e);
  ASSERT_EQ(deliver(cpu(), interrupt(0x21, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(13, kData0 | 1);
  state.idtr.limit = 0x20 * 8 - 1;
  ASSERT_EQ(deliver(cpu(), interrupt(0x21, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(13, 0x21 * 8 + 3);
}

TEST_F(EventDelivery, SixteenBitGatePushesWords) {
  set_idt(0x20, kCode16, 0x86);
  state.eip = 0x4321;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x4321), Eip(0x4321)), DeliveryResult::Delivered);
  EXPECT_EQ(esp(), kStackTop - 6);
  EXPECT_EQ(get16(esp()), 0x4321);
  EXPECT_EQ(state.eip, handler(0x20) & 0xffffU);
}

TEST_F(EventDelivery, ConformingHandlerStaysInItsRing) {
  set_idt(0x20, kConforming0, 0x8e);
  enter_ring(3);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x30000), Eip(0x30000)), DeliveryResult::Delivered);
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, kConforming0 | 3);
  EXPECT_EQ(esp(), kStackTop - 12);
}

TEST_F(EventDelivery, BadInnerStackRaisesInvalidTssWithExt) {
  set_idt(10, kConforming0, 0x8e);  // reachable without the stack that is bad
  set16(kTss + tss32::kSs0, kData3);
  enter_ring(3);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(10, (kData3 & ~3U) | 1);
}

TEST_F(EventDelivery, ContributoryFaultWhileDeliveringContributoryIsDoubleFault) {
  set_idt(13, kData0, 0x8e);
  ASSERT_EQ(raise(GuestFault::general_protection(0x18)), DeliveryResult::Delivered);
  expect_handler(8, 0);
  EXPECT_EQ(get32(esp() + 4), 0x30000U);
}

TEST_F(EventDelivery, PageFaultWhileDeliveringContributoryIsServedSerially) {
  enable_paging();
  set_gdt(kFree, 0, 0xfffff, kFlatCode);
  state.gdtr.limit = 0x1fff;
  unmap(0x2000);  // holds GDT entries from 0x1000 on
  state.idtr.base = 0x6000;
  set_gate(0x6000 + 13 * 8, 0x1008, handler(13), 0x8e);
  set_gate(0x6000 + 14 * 8, kCode0, handler(14), 0x8e);
  ASSERT_EQ(raise(GuestFault::general_protection(0)), DeliveryResult::Delivered);
  expect_handler(14, 0);
  EXPECT_EQ(state.cr2, 0x2008U);
}

TEST_F(EventDelivery, SecondPageFaultIsDoubleFaultAndThirdShutsDown) {
  enable_paging();
  unmap(kStackTop - 4);
  ASSERT_EQ(raise(GuestFault::page_fault(0x1000, 0)), DeliveryResult::Shutdown);
  EXPECT_EQ(state.activity, ActivityState::Shutdown);
}

TEST_F(EventDelivery, BenignEventThenFaultIsServedSerially) {
  set_idt(0x20, kData0, 0x8e);
  ASSERT_EQ(deliver(cpu(), software(0x20, 2), Eip(0x30000)), DeliveryResult::Delivered);
  expect_handler(13, kData0);
  set_idt(8, kData0, 0x8e);  // a hardware interrupt on vector 8 is no double fault
  ASSERT_EQ(deliver(cpu(), interrupt(8, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(13, kData0 | 1);
}

TEST_F(EventDelivery, DebugExceptionSetsDr6ClearsGdAndLeavesRf) {
  state.dr[7] |= 1U << 13;
  GuestFault fault = GuestFault::simple(Vector::Debug);
  fault.dr6_bits = 1U << 14;
  ASSERT_EQ(raise(fault), DeliveryResult::Delivered);
  EXPECT_EQ(state.dr[6], 0xffff4ff0U);
  EXPECT_EQ(state.dr[7] & (1U << 13), 0U);
  EXPECT_EQ(get32(esp() + 8) & kFlagRf, 0U);
}

TEST_F(EventDelivery, Virtual8086InterruptPushesAndNullsDataSegments) {
  enter_v86(0);
  state.seg(SegmentRegister::Gs).selector = 0x1111;
  state.seg(SegmentRegister::Es).selector = 0x4444;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x100), Eip(0x100)), DeliveryResult::Delivered);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_FALSE(state.v86_mode());
  EXPECT_EQ(esp(), kStack0 - 36);
  EXPECT_EQ(get32(esp()), 0x100U);
  EXPECT_EQ(get32(esp() + 4), 0x1000U);
  EXPECT_EQ(get32(esp() + 8), kFlagReservedOne | kFlagVm | kFlagIf);
  EXPECT_EQ(get32(esp() + 12), 0x8000U);
  EXPECT_EQ(get32(esp() + 16), 0x1000U);
  EXPECT_EQ(get32(esp() + 20), 0x4444U);
  EXPECT_EQ(get32(esp() + 32), 0x1111U);
  EXPECT_FALSE(state.seg(SegmentRegister::Gs).usable());
  EXPECT_EQ(state.seg(SegmentRegister::Ds).selector, 0);
}

TEST_F(EventDelivery, Virtual8086SoftwareInterruptBelowIoplThreeFaults) {
  set_idt(0x21, kCode0, 0xee);
  enter_v86(0);
  ASSERT_EQ(deliver(cpu(), software(0x21, 0x102), Eip(0x100)), DeliveryResult::Delivered);
  expect_handler(13, 0);
  EXPECT_EQ(get32(esp() + 4), 0x100U);
  enter_v86(3);
  ASSERT_EQ(deliver(cpu(), software(0x21, 0x102), Eip(0x100)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, handler(0x21));
}

TEST_F(EventDelivery, Virtual8086HandlerMustBeRingZeroNonconforming) {
  set_idt(0x20, kConforming0, 0x8e);
  enter_v86(3);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x100), Eip(0x100)), DeliveryResult::Delivered);
  expect_handler(13, kConforming0 | 1);
}

TEST_F(EventDelivery, RealModeUsesTheVectorTableWithoutErrorCode) {
  enter_real_mode();
  state.idtr = {0, 0x3ff};
  set32(13 * 4, 0x20000123);
  state.eflags |= kFlagIf;
  ASSERT_EQ(raise(GuestFault::general_protection(0)), DeliveryResult::Delivered);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x20000U);
  EXPECT_EQ(state.eip, 0x123U);
  EXPECT_EQ(esp(), 0x7ffaU);
  EXPECT_EQ(get16(0x17ffa), 0x100);
  EXPECT_EQ(get16(0x17ffc), 0x1000);
  EXPECT_EQ(get16(0x17ffe), kFlagReservedOne | kFlagIf);
  EXPECT_EQ(state.eflags & kFlagIf, 0U);
}

TEST_F(EventDelivery, RealModeWithoutVectorTableShutsDown) {
  enter_real_mode();
  state.idtr = {0, 0};
  EXPECT_EQ(deliver(cpu(), interrupt(8, 0), Eip(0)), DeliveryResult::Shutdown);
}

// SDM 2A INT n: room on the inner stack comes before the limit of the handler's code.
TEST_F(EventDelivery, NoRoomOnTheInnerStackComesBeforeTheEntryPoint) {
  constexpr uint16_t kShortCode = kFree, kNoRoom = kFree + 8;
  set_gdt(kShortCode, 0, 0xff, 0x409a);
  set_gdt(kNoRoom, 0, 0xfff, 0x4092);
  set_idt(0x20, kShortCode, 0x8e);
  set_idt(12, kConforming0, 0x8e);  // reachable without the stack that is bad
  set_idt(13, kConforming0, 0x8e);
  enter_ring(3);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(13, 1);
  set16(kTss + tss32::kSs0, kNoRoom);
  enter_ring(3);
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(12, kNoRoom | 1);
}

TEST_F(EventDelivery, AFrameForRingThreeIsCheckedForAlignment) {
  set_idt(0x20, kConforming0, 0x8e);
  enter_ring(3);
  state.cr0 |= kCr0Am;
  state.eflags |= kFlagAc;
  state.reg(Gpr::Esp) = kStackTop - 2;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0), Eip(0)), DeliveryResult::Delivered);
  expect_handler(17, 1);
}

// A processor tries for ever; here each try is a step, and a signal or a debugger gets in.
TEST_F(EventDelivery, AMisalignedFrameOfAnAlignmentCheckLeavesTheInstructionToBeRunAgain) {
  set_idt(17, kConforming0, 0x8e);
  enter_ring(3);
  state.cr0 |= kCr0Am;
  state.eflags |= kFlagAc;
  state.reg(Gpr::Esp) = kStackTop - 2;
  ASSERT_EQ(raise(GuestFault::with_code(Vector::AlignmentCheck, 0)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, 0x30000U);
  EXPECT_EQ(esp(), kStackTop - 2);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, kCode3);
}

TEST_F(EventDelivery, NoRoomOnTheSameRingStackIsStackFaultWithExt) {
  set_idt(12, kCode0, 0x85);  // as a task gate, so that a good stack is found
  set_gate(kIdt + 12 * 8, kOtherTssSelector, 0, 0x85);
  set32(kOtherTss + tss32::kEip, 0x40000);
  set32(kOtherTss + tss32::kEsp, 0xd000);
  for (const uint32_t field : {tss32::kEs, tss32::kSs, tss32::kDs, tss32::kFs, tss32::kGs}) {
    set16(kOtherTss + field, kData0);
  }
  set16(kOtherTss + tss32::kCs, kCode0);
  state.seg(SegmentRegister::Ss).limit = 0xfff;
  ASSERT_EQ(deliver(cpu(), interrupt(0x20, 0x30000), Eip(0x30000)), DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, 0x40000U);
  EXPECT_EQ(esp(), 0xd000U - 4);
  EXPECT_EQ(get32(esp()), 1U);
  EXPECT_EQ(get32(kTss + tss32::kEflags) & kFlagRf, kFlagRf);
}

}  // namespace
}  // namespace ringshift

#include "monitor/cpu/event_delivery.h"
#include "monitor/cpu/segments/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

constexpr OperandSize k32 = OperandSize::Bits32;

MaybeFault with_code(Vector vector, uint32_t code) { return GuestFault::with_code(vector, code); }

class TaskSwitch : public CpuFixture {
 protected:
  TaskSwitch() {
    set32(kOtherTss + tss32::kEip, 0x40000);
    set32(kOtherTss + tss32::kEflags, kFlagIf);
    set32(kOtherTss + tss32::kEax, 0xaaaa0001);
    set32(kOtherTss + tss32::kEsp, 0xd000);
    for (const uint32_t field : {tss32::kEs, tss32::kSs, tss32::kDs, tss32::kFs, tss32::kGs}) {
      set16(kOtherTss + field, kData0);
    }
    set16(kOtherTss + tss32::kCs, kCode0);
    state.reg(Gpr::Eax) = 0x12345678;
  }
  [[nodiscard]] bool busy(uint16_t selector) const { return (gdt_high(selector) & 0x200U) != 0; }
};

TEST_F(TaskSwitch, JumpSavesTheOldTaskAndMovesTheBusyBit) {
  ASSERT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(get32(kTss + tss32::kEip), 0x30007U);
  EXPECT_EQ(get32(kTss + tss32::kEax), 0x12345678U);
  EXPECT_EQ(get32(kTss + tss32::kEsp), kStackTop);
  EXPECT_EQ(get16(kTss + tss32::kCs), kCode0);
  EXPECT_FALSE(busy(kTssSelector));
  EXPECT_TRUE(busy(kOtherTssSelector));
  EXPECT_EQ(state.eip, 0x40000U);
  EXPECT_EQ(state.reg(Gpr::Eax), 0xaaaa0001U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0xd000U);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagIf);
  EXPECT_EQ(state.tr.selector, kOtherTssSelector);
  EXPECT_EQ(state.cr0 & kCr0Ts, kCr0Ts);
}

TEST_F(TaskSwitch, CallNestsAndInterruptReturnComesBack) {
  ASSERT_EQ(far_call(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(state.eflags & kFlagNt, kFlagNt);
  EXPECT_EQ(get16(kOtherTss + tss32::kLink), kTssSelector);
  EXPECT_TRUE(busy(kTssSelector));
  EXPECT_TRUE(busy(kOtherTssSelector));

  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0x40001)), kNoFault);
  EXPECT_EQ(state.eip, 0x30007U);
  EXPECT_EQ(state.reg(Gpr::Eax), 0x12345678U);
  EXPECT_EQ(state.tr.selector, kTssSelector);
  EXPECT_TRUE(busy(kTssSelector));
  EXPECT_FALSE(busy(kOtherTssSelector));
  EXPECT_EQ(get32(kOtherTss + tss32::kEip), 0x40001U);
  EXPECT_EQ(get32(kOtherTss + tss32::kEflags) & kFlagNt, 0U);
}

TEST_F(TaskSwitch, DoubleFaultThroughTaskGatePushesZeroOnTheNewStack) {
  set_gate(kIdt + 8 * 8, kOtherTssSelector, 0, 0x85);
  set_idt(13, kData0, 0x8e);
  ASSERT_EQ(deliver(cpu(), Event::from_fault(GuestFault::general_protection(0), Eip(0x30000)),
                    Eip(0x30000)),
            DeliveryResult::Delivered);
  EXPECT_EQ(state.eip, 0x40000U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0xd000U - 4);
  EXPECT_EQ(get32(0xd000 - 4), 0U);
  EXPECT_EQ(get32(kTss + tss32::kEip), 0x30000U);
}

TEST_F(TaskSwitch, BusyOrShortOrAbsentTssIsRefused) {
  EXPECT_EQ(far_jump(cpu(), kTssSelector, 0, k32, Eip(0)),
            MaybeFault(GuestFault::general_protection(kTssSelector)));
  set_gdt(kOtherTssSelector, kOtherTss, 0x66, 0x89);
  EXPECT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0)),
            with_code(Vector::InvalidTss, kOtherTssSelector));
  set_gdt(kOtherTssSelector, kOtherTss, 0x67, 0x09);
  EXPECT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0)),
            with_code(Vector::SegmentNotPresent, kOtherTssSelector));
  state.eflags |= kFlagNt;
  set16(kTss + tss32::kLink, kOtherTssSelector);
  set_gdt(kOtherTssSelector, kOtherTss, 0x67, 0x89);
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), with_code(Vector::InvalidTss, kOtherTssSelector));
  EXPECT_EQ(state.tr.selector, kTssSelector);
}

TEST_F(TaskSwitch, BadSegmentOfTheNewTaskFaultsInItsContext) {
  set16(kOtherTss + tss32::kDs, kCode0 | 0x80);
  EXPECT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)),
            with_code(Vector::InvalidTss, kCode0 | 0x80));
  EXPECT_EQ(state.eip, 0x40000U);
  EXPECT_EQ(state.tr.selector, kOtherTssSelector);
  EXPECT_FALSE(state.seg(SegmentRegister::Ds).usable());
}

TEST_F(TaskSwitch, LoadsCr3OnlyWithPagingOn) {
  set32(kOtherTss + tss32::kCr3, 0xf0000);
  enable_paging();
  ASSERT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(paging_.cr3_loads, 1);
  EXPECT_EQ(state.cr3, 0xf0000U);
}

TEST_F(TaskSwitch, AbsentOldTssFaultsBeforeAnythingChanges) {
  enable_paging();
  unmap(kTss);
  EXPECT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)),
            MaybeFault(GuestFault::page_fault(kTss + tss32::kEip, kPageFaultWrite)));
  EXPECT_FALSE(busy(kOtherTssSelector));
  EXPECT_EQ(state.eip, 0x30000U);
}

TEST_F(TaskSwitch, TrapBitRaisesDebugAfterTheSwitch) {
  set16(kOtherTss + tss32::kTrap, 1);
  const MaybeFault fault = far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007));
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->vector, Vector::Debug);
  EXPECT_EQ(fault->dr6_bits, 0x8000U);
  EXPECT_EQ(state.eip, 0x40000U);
}

TEST_F(TaskSwitch, EntersVirtual8086Task) {
  set32(kOtherTss + tss32::kEflags, kFlagVm);
  set16(kOtherTss + tss32::kCs, 0x1000);
  set32(kOtherTss + tss32::kEip, 0x100);
  ASSERT_EQ(far_jump(cpu(), kOtherTssSelector, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_TRUE(state.v86_mode());
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x10000U);
}

TEST_F(TaskSwitch, SixteenBitTssSavesAndLoadsWords) {
  constexpr uint32_t kTss16 = 0x6000;
  set_gdt(kFree, kTss16, 0x2b, 0x81);
  set16(kTss16 + 14, 0x4000);  // IP
  set16(kTss16 + 16, kFlagReservedOne);
  set16(kTss16 + 18, 0x1234);  // AX
  set16(kTss16 + 26, 0xd000);  // SP
  for (const uint32_t field : {34U, 38U, 40U}) {
    set16(kTss16 + field, kData0);
  }
  set16(kTss16 + 36, kCode16);
  ASSERT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(state.eip, 0x4000U);
  EXPECT_EQ(state.reg(Gpr::Eax) & 0xffffU, 0x1234U);
  EXPECT_EQ(state.seg(SegmentRegister::Fs).selector, 0);
  EXPECT_EQ(get16(kTss16), kTssSelector);
  state.reg(Gpr::Eax) = 0x77776666;
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0x4001)), kNoFault);
  EXPECT_EQ(get16(kTss16 + 18), 0x6666);
  EXPECT_EQ(get16(kTss16 + 14), 0x4001);
  EXPECT_EQ(get16(kTss16 + 42), 0) << "the LDT field is not saved";
  EXPECT_EQ(state.eip, 0x30007U);
}

TEST_F(TaskSwitch, TaskGateChecksItsOwnPrivilege) {
  set_gate(kGdt + kFree, kOtherTssSelector, 0, 0x85);
  enter_ring(3);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::general_protection(kFree)));
  set_gate(kGdt + kFree, kOtherTssSelector, 0, 0xe5);
  ASSERT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(get16(kTss + tss32::kCs), kCode3);
}

}  // namespace
}  // namespace ringshift

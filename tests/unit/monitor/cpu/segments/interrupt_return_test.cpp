#include "monitor/cpu/segments/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

constexpr OperandSize k32 = OperandSize::Bits32;
constexpr OperandSize k16 = OperandSize::Bits16;

MaybeFault gp(uint32_t code) { return GuestFault::general_protection(code); }

class InterruptReturn : public CpuFixture {
 protected:
  // Writes consecutive stack slots from ESP upwards.
  void put_frame(std::initializer_list<uint32_t> values) {
    uint32_t at = state.seg(SegmentRegister::Ss).base + state.reg(Gpr::Esp);
    for (const uint32_t value : values) {
      set32(at, value);
      at += 4;
    }
  }
};

TEST_F(InterruptReturn, SameRingRestoresAllFlagsInRingZero) {
  put_frame({0x1234, kCode0, kFlagIf | kFlagIopl | kFlagRf | kFlagAc | kFlagId | kFlagCf});
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0)), kNoFault);
  EXPECT_EQ(state.eip, 0x1234U);
  EXPECT_EQ(state.eflags,
            kFlagReservedOne | kFlagIf | kFlagIopl | kFlagRf | kFlagAc | kFlagId | kFlagCf);
  EXPECT_EQ(state.reg(Gpr::Esp), kStackTop + 12);
}

TEST_F(InterruptReturn, OuterRingLoadsStackAndNullsPrivilegedSegments) {
  state.seg(SegmentRegister::Es) = {0, 0xffffffffU, kData3, 0xc0f3};
  put_frame({0x1234, kCode3, kFlagIf, 0xabcde0, kData3});
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0)), kNoFault);
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.reg(Gpr::Esp), 0xabcde0U);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, kData3);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).selector, 0);
  EXPECT_FALSE(state.seg(SegmentRegister::Ds).usable());
  EXPECT_EQ(state.seg(SegmentRegister::Es).selector, kData3);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagIf);
}

TEST_F(InterruptReturn, RingThreeChangesNeitherIfNorIopl) {
  enter_ring(3);
  state.eflags = kFlagReservedOne | kFlagIf;
  put_frame({0x1234, kCode3, kFlagIopl | kFlagZf | kFlagVm});
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0)), kNoFault);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagIf | kFlagZf);
}

TEST_F(InterruptReturn, SixteenBitOuterStackKeepsTheUpperHalfOfEsp) {
  set_gdt(kFree, 0, 0xffff, 0xf3);
  state.reg(Gpr::Esp) = 0x8c000;
  put_frame({0x1234, kCode3, kFlagIf, 0x11112222, kFree | 3});
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0)), kNoFault);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x00082222U);
}

TEST_F(InterruptReturn, BadTargetsFaultWithTheirSelectorAndChangeNothing) {
  put_frame({0x1234, 0, 2});
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), gp(0));
  put_frame({0x1234, kData0, 2});
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), gp(kData0));
  put_frame({0x1234, kCode3, 2, 0, 0});
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), gp(0));
  put_frame({0x1234, kCode3, 2, 0, kData0});
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), gp(kData0));
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.reg(Gpr::Esp), kStackTop);
  EXPECT_EQ(state.eip, 0x30000U);
}

TEST_F(InterruptReturn, RingZeroEntersVirtual8086Mode) {
  put_frame({0x100, 0x1000, kFlagVm | kFlagIf, 0x8000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000});
  ASSERT_EQ(interrupt_return(cpu(), k32, Eip(0)), kNoFault);
  EXPECT_TRUE(state.v86_mode());
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x10000U);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).base, 0x20000U);
  EXPECT_EQ(state.seg(SegmentRegister::Es).base, 0x30000U);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).base, 0x40000U);
  EXPECT_EQ(state.seg(SegmentRegister::Fs).base, 0x50000U);
  EXPECT_EQ(state.seg(SegmentRegister::Gs).base, 0x60000U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x8000U);
}

TEST_F(InterruptReturn, InVirtual8086ModeNeedsIoplThreeAndKeepsIt) {
  enter_v86(0);
  EXPECT_EQ(interrupt_return(cpu(), k16, Eip(0)), gp(0));
  enter_v86(3);
  set16(0x18000, 0x222);
  set16(0x18002, 0x1800);
  set16(0x18004, kFlagCf);
  ASSERT_EQ(interrupt_return(cpu(), k16, Eip(0)), kNoFault);
  EXPECT_EQ(state.eip, 0x222U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x18000U);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagVm | kFlagIopl | kFlagCf);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x8006U);
}

TEST_F(InterruptReturn, RealModePopsThreeWords) {
  enter_real_mode();
  set16(0x18000, 0x222);
  set16(0x18002, 0x1800);
  set16(0x18004, static_cast<uint16_t>(kFlagIf | kFlagIopl | kFlagNt));
  ASSERT_EQ(interrupt_return(cpu(), k16, Eip(0)), kNoFault);
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagIf | kFlagIopl | kFlagNt);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, 0x1800);
}

TEST_F(InterruptReturn, SysenterForcesFlatRingZeroSegments) {
  enter_ring(3);
  state.eflags |= kFlagIf;
  EXPECT_EQ(sysenter(cpu()), gp(0));
  state.sysenter_cs = 0x60;
  state.sysenter_esp = 0x9000;
  state.sysenter_eip = 0xc0001000U;
  ASSERT_EQ(sysenter(cpu()), kNoFault);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, 0x60);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).attributes, 0xc09b);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, 0x68);
  EXPECT_EQ(state.eip, 0xc0001000U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x9000U);
  EXPECT_EQ(state.eflags & kFlagIf, 0U);
}

TEST_F(InterruptReturn, SysexitReturnsToEdxAndEcxInRingThree) {
  state.sysenter_cs = 0x60;
  state.reg(Gpr::Edx) = 0x1111;
  state.reg(Gpr::Ecx) = 0x2222;
  ASSERT_EQ(sysexit(cpu()), kNoFault);
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).selector, 0x73);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).attributes, 0xc0fb);
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, 0x7b);
  EXPECT_EQ(state.eip, 0x1111U);
  EXPECT_EQ(state.reg(Gpr::Esp), 0x2222U);
  EXPECT_EQ(sysexit(cpu()), gp(0));
}

}  // namespace
}  // namespace ringshift

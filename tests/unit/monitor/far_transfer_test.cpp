#include "monitor/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class FarTransfer : public CpuFixture {
 protected:
  [[nodiscard]] uint32_t esp() const { return state.reg(Gpr::Esp); }
  [[nodiscard]] uint16_t selector(SegmentRegister name) const { return state.seg(name).selector; }
};

MaybeFault gp(uint32_t code) { return GuestFault::general_protection(code); }
constexpr OperandSize k32 = OperandSize::Bits32;
constexpr OperandSize k16 = OperandSize::Bits16;

TEST_F(FarTransfer, JumpLoadsCodeSegmentWithRplOfCpl) {
  set_gdt(kFree, 0x1000, 0xff, 0x409a);
  ASSERT_EQ(far_jump(cpu(), kFree, 0x80, k32, 0), kNoFault);
  EXPECT_EQ(state.eip, 0x80U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x1000U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).attributes, 0x409b);
  enter_ring(3);
  ASSERT_EQ(far_jump(cpu(), kConforming0, 0x80, k32, 0), kNoFault);
  EXPECT_EQ(selector(SegmentRegister::Cs), kConforming0 | 3);
  EXPECT_EQ(state.cpl, 3);
}

TEST_F(FarTransfer, JumpRefusesWhatItMust) {
  EXPECT_EQ(far_jump(cpu(), 0, 0, k32, 0), gp(0));
  EXPECT_EQ(far_jump(cpu(), kData0, 0, k32, 0), gp(kData0));
  EXPECT_EQ(far_jump(cpu(), kCode3, 0, k32, 0), gp(kCode3 & ~3U));
  set_gdt(kFree, 0, 0xff, 0x409a);
  EXPECT_EQ(far_jump(cpu(), kFree, 0x100, k32, 0), gp(0));
  set_gdt(kFree, 0, 0xff, 0x401a);
  EXPECT_EQ(far_jump(cpu(), kFree, 0, k32, 0),
            MaybeFault(GuestFault::with_code(Vector::SegmentNotPresent, kFree)));
  EXPECT_EQ(selector(SegmentRegister::Cs), kCode0);
}

TEST_F(FarTransfer, CallAndReturnAtTheSameRingRoundTrip) {
  ASSERT_EQ(far_call(cpu(), kCode0, 0x5000, k32, 0x30007), kNoFault);
  EXPECT_EQ(esp(), kStackTop - 8);
  EXPECT_EQ(get32(kStackTop - 8), 0x30007U);
  EXPECT_EQ(get32(kStackTop - 4), kCode0);
  ASSERT_EQ(far_return(cpu(), 4, k32), kNoFault);
  EXPECT_EQ(state.eip, 0x30007U);
  EXPECT_EQ(esp(), kStackTop + 4);
}

TEST_F(FarTransfer, CallGateCopiesParametersToTheInnerStack) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec, 2);
  enter_ring(3);
  set32(kStackTop, 0x11111111);
  set32(kStackTop + 4, 0x22222222);
  ASSERT_EQ(far_call(cpu(), kFree | 3, 0xdead, k32, 0x30007), kNoFault);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.eip, 0x7000U);
  EXPECT_EQ(selector(SegmentRegister::Ss), kData0);
  EXPECT_EQ(esp(), kStack0 - 24);
  EXPECT_EQ(get32(kStack0 - 24), 0x30007U);
  EXPECT_EQ(get32(kStack0 - 20), kCode3);
  EXPECT_EQ(get32(kStack0 - 16), 0x11111111U);
  EXPECT_EQ(get32(kStack0 - 12), 0x22222222U);
  EXPECT_EQ(get32(kStack0 - 8), kStackTop);
  EXPECT_EQ(get32(kStack0 - 4), kData3);

  ASSERT_EQ(far_return(cpu(), 8, k32), kNoFault);
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.eip, 0x30007U);
  EXPECT_EQ(esp(), kStackTop + 8);
  EXPECT_EQ(selector(SegmentRegister::Ss), kData3);
}

TEST_F(FarTransfer, SixteenBitCallGatePushesWords) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xe4, 1);
  enter_ring(3);
  set16(kStackTop, 0xabcd);
  ASSERT_EQ(far_call(cpu(), kFree, 0, k32, 0x30007), kNoFault);
  EXPECT_EQ(esp(), kStack0 - 10);
  EXPECT_EQ(get16(kStack0 - 10), 7);
  EXPECT_EQ(get16(kStack0 - 8), kCode3);
  EXPECT_EQ(get16(kStack0 - 6), 0xabcd);
  EXPECT_EQ(get16(kStack0 - 4), 0xc000);
  EXPECT_EQ(get16(kStack0 - 2), kData3);
}

TEST_F(FarTransfer, CallGatePrivilegeAndPresenceFaults) {
  enter_ring(3);
  set_gate(kGdt + kFree, kCode0, 0x7000, 0x8c);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0), gp(kFree));
  set_gate(kGdt + kFree, kCode0, 0x7000, 0x6c);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0),
            MaybeFault(GuestFault::with_code(Vector::SegmentNotPresent, kFree)));
  set_gate(kGdt + kFree, 0, 0x7000, 0xec);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0), gp(0));
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec);
  EXPECT_EQ(far_jump(cpu(), kFree, 0, k32, 0), gp(kCode0));
}

TEST_F(FarTransfer, BadInnerStackIsInvalidTssAndChangesNothing) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec);
  enter_ring(3);
  set16(kTss + tss32::kSs0, 0);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, 0)));
  set16(kTss + tss32::kSs0, kData3);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, kData3 & ~3U)));
  state.tr.limit = 5;
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, 0),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, kTssSelector)));
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(esp(), kStackTop);
}

TEST_F(FarTransfer, FaultOnOnePushLeavesStackAndStateUntouched) {
  enable_paging();
  unmap(0xb000);
  state.reg(Gpr::Esp) = 0xc004;
  set32(0xc000, 0x55555555);
  const MaybeFault fault = far_call(cpu(), kCode0, 0x5000, k32, 0x30007);
  EXPECT_EQ(fault, MaybeFault(GuestFault::page_fault(0xbffc, kPageFaultWrite)));
  EXPECT_EQ(get32(0xc000), 0x55555555U);
  EXPECT_EQ(esp(), 0xc004U);
  EXPECT_EQ(state.eip, 0x30000U);
}

TEST_F(FarTransfer, SixteenBitStackUsesSpOnly) {
  state.seg(SegmentRegister::Ss) = {0, 0xffff, kSmallStack0, 0x93};
  state.reg(Gpr::Esp) = 0x7ead8002;
  ASSERT_EQ(far_call(cpu(), kCode0, 0x5000, k16, 0x1234), kNoFault);
  EXPECT_EQ(esp(), 0x7ead7ffeU);
  EXPECT_EQ(get16(0x7ffe), 0x1234);
  EXPECT_EQ(get16(0x8000), kCode0);
}

TEST_F(FarTransfer, RealModeCallAndReturnUseSegmentTimesSixteen) {
  enter_real_mode();
  ASSERT_EQ(far_call(cpu(), 0x2000, 0x10, k16, 0x105), kNoFault);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x20000U);
  EXPECT_EQ(get16(0x17ffc), 0x105);
  EXPECT_EQ(get16(0x17ffe), 0x1000);
  ASSERT_EQ(far_return(cpu(), 0, k16), kNoFault);
  EXPECT_EQ(selector(SegmentRegister::Cs), 0x1000);
  EXPECT_EQ(state.eip, 0x105U);
  EXPECT_EQ(far_jump(cpu(), 0x2000, 0x10000, k32, 0), gp(0));
}

TEST_F(FarTransfer, ReturnToInnerRingIsRefused) {
  enter_ring(3);
  set32(kStackTop, 0x1000);
  set32(kStackTop + 4, kCode0);
  EXPECT_EQ(far_return(cpu(), 0, k32), gp(kCode0));
}

}  // namespace
}  // namespace ringshift

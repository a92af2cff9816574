#include "monitor/cpu/segments/segmentation.h"

#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class Segmentation : public CpuFixture {};

MaybeFault gp(uint32_t code) { return GuestFault::general_protection(code); }
MaybeFault code_fault(Vector vector, uint32_t code) { return GuestFault::with_code(vector, code); }

TEST_F(Segmentation, LoadingDataSegmentFillsTheCacheAndSetsAccessed) {
  set_gdt(kFree, 0x12345678, 0x5, 0xc092);
  ASSERT_EQ(load_segment(cpu(), SegmentRegister::Ds, kFree), kNoFault);
  const SegmentCache& ds = state.seg(SegmentRegister::Ds);
  EXPECT_EQ(ds.base, 0x12345678U);
  EXPECT_EQ(ds.limit, 0x5fffU);
  EXPECT_EQ(ds.selector, kFree);
  EXPECT_EQ(ds.attributes, 0xc093);
  EXPECT_EQ(gdt_high(kFree) & 0x100U, 0x100U);
}

TEST_F(Segmentation, NullIsUnusableInDataSegmentsAndRefusedInSs) {
  ASSERT_EQ(load_segment(cpu(), SegmentRegister::Es, 3), kNoFault);
  EXPECT_FALSE(state.seg(SegmentRegister::Es).usable());
  EXPECT_EQ(state.seg(SegmentRegister::Es).selector, 3);
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ss, 0), gp(0));
  EXPECT_EQ(state.seg(SegmentRegister::Ss).selector, kData0);
}

TEST_F(Segmentation, SelectorBeyondTheTableIsGeneralProtectionWithItsIndex) {
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, 0x103), gp(0x100));
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, 0x0f), gp(0x0c));
}

TEST_F(Segmentation, LdtSelectorsReadTheLdt) {
  set_descriptor(kLdt, 0x0f, 0x7000, 0xfff, 0x40f3);
  ASSERT_EQ(load_ldt(cpu(), kLdtSelector), kNoFault);
  ASSERT_EQ(load_segment(cpu(), SegmentRegister::Gs, 0x0f), kNoFault);
  EXPECT_EQ(state.seg(SegmentRegister::Gs).base, 0x7000U);
}

TEST_F(Segmentation, PrivilegeOfDataSegmentsCountsCplAndRpl) {
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kData0 | 3), gp(kData0));
  enter_ring(3);
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kData0), gp(kData0));
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kData3), kNoFault);
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kConforming0 | 3), kNoFault);
}

TEST_F(Segmentation, StackSegmentNeedsExactPrivilegeAndPresence) {
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ss, kData3), gp(kData3 & ~3U));
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ss, kCode0), gp(kCode0));
  set_gdt(kFree, 0, 0xffff, 0x12);
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ss, kFree), code_fault(Vector::StackFault, kFree));
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kFree),
            code_fault(Vector::SegmentNotPresent, kFree));
}

TEST_F(Segmentation, ExecuteOnlyCodeIsNotReadable) {
  set_gdt(kFree, 0, 0xfffff, 0xc098);
  EXPECT_EQ(load_segment(cpu(), SegmentRegister::Ds, kFree), gp(kFree));
}

TEST_F(Segmentation, DescriptorTablePageFaultPropagatesAsSupervisorAccess) {
  enable_paging();
  unmap(kGdt);
  enter_ring(3);
  const MaybeFault fault = load_segment(cpu(), SegmentRegister::Ds, kData3);
  EXPECT_EQ(fault, MaybeFault(GuestFault::page_fault(kGdt + 0x20, 0)));
}

TEST_F(Segmentation, RealModeLoadKeepsTheLimit) {
  enter_real_mode();
  state.seg(SegmentRegister::Ds).limit = 0xffffffffU;
  ASSERT_EQ(load_segment(cpu(), SegmentRegister::Ds, 0xb800), kNoFault);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).base, 0xb8000U);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).limit, 0xffffffffU);
}

TEST_F(Segmentation, Virtual8086LoadHasFixedLimitAndPrivilegeThree) {
  enter_v86(3);
  state.seg(SegmentRegister::Ds).limit = 5;
  ASSERT_EQ(load_segment(cpu(), SegmentRegister::Ds, 0x1234), kNoFault);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).base, 0x12340U);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).limit, 0xffffU);
  EXPECT_EQ(state.seg(SegmentRegister::Ds).dpl(), 3U);
}

TEST_F(Segmentation, LimitChecksByDirectionAndSegment) {
  GuestVirtual linear;
  const auto check = [&](SegmentRegister name, uint32_t offset, uint32_t length) {
    return linear_address(cpu(), name, GuestOffset(offset), length, AccessKind::Write, &linear);
  };
  state.seg(SegmentRegister::Ds) = {0x100, 0xfff, kData0, 0x4093};
  EXPECT_EQ(check(SegmentRegister::Ds, 0xffc, 4), kNoFault);
  EXPECT_EQ(linear.value(), 0x10fcU);
  EXPECT_EQ(check(SegmentRegister::Ds, 0xffd, 4), gp(0));
  EXPECT_EQ(check(SegmentRegister::Ds, 0xffffffff, 2), gp(0));
  state.seg(SegmentRegister::Ss) = {0, 0xfff, kData0, 0x0097};  // expand-down, 16-bit
  EXPECT_EQ(check(SegmentRegister::Ss, 0x1000, 4), kNoFault);
  EXPECT_EQ(check(SegmentRegister::Ss, 0xfff, 4), code_fault(Vector::StackFault, 0));
  EXPECT_EQ(check(SegmentRegister::Ss, 0xfffe, 4), code_fault(Vector::StackFault, 0));
}

TEST_F(Segmentation, WritesToCodeAndUsesOfNullAreRefused) {
  GuestVirtual linear;
  const GuestOffset zero(0);
  EXPECT_EQ(linear_address(cpu(), SegmentRegister::Cs, zero, 1, AccessKind::Write, &linear), gp(0));
  EXPECT_EQ(linear_address(cpu(), SegmentRegister::Cs, zero, 1, AccessKind::Read, &linear),
            kNoFault);
  state.seg(SegmentRegister::Fs) = SegmentCache{};
  EXPECT_EQ(linear_address(cpu(), SegmentRegister::Fs, zero, 1, AccessKind::Read, &linear), gp(0));
}

TEST_F(Segmentation, LoadTaskRegisterMarksBusyAndRefusesBusy) {
  ASSERT_EQ(load_task_register(cpu(), kOtherTssSelector), kNoFault);
  EXPECT_EQ(state.tr.base, kOtherTss);
  EXPECT_EQ(state.tr.attributes & 0xf, 11);
  EXPECT_EQ((gdt_high(kOtherTssSelector) >> 8) & 0xfU, 11U);
  EXPECT_EQ(load_task_register(cpu(), kOtherTssSelector), gp(kOtherTssSelector));
  EXPECT_EQ(load_task_register(cpu(), 0), gp(0));
}

TEST_F(Segmentation, LarLslVerrVerwAnswerByTypeAndPrivilege) {
  bool valid = false;
  uint32_t value = 0;
  ASSERT_EQ(query_access_rights(cpu(), kData3, &valid, &value), kNoFault);
  EXPECT_TRUE(valid);
  EXPECT_EQ(value, 0xc0f300U);
  ASSERT_EQ(query_limit(cpu(), kData3, &valid, &value), kNoFault);
  EXPECT_EQ(value, 0xffffffffU);
  ASSERT_EQ(query_limit(cpu(), kTssSelector, &valid, &value), kNoFault);
  EXPECT_TRUE(valid);
  EXPECT_EQ(value, 0x2fffU);
  set_gate(kGdt + kFree, kCode0, 0, 0x8c);
  ASSERT_EQ(query_access_rights(cpu(), kFree, &valid, &value), kNoFault);
  EXPECT_TRUE(valid);
  ASSERT_EQ(query_limit(cpu(), kFree, &valid, &value), kNoFault);
  EXPECT_FALSE(valid);
  enter_ring(3);
  ASSERT_EQ(verify_segment(cpu(), kData0 | 3, AccessKind::Read, &valid), kNoFault);
  EXPECT_FALSE(valid);
  ASSERT_EQ(verify_segment(cpu(), kCode3, AccessKind::Write, &valid), kNoFault);
  EXPECT_FALSE(valid);
  ASSERT_EQ(verify_segment(cpu(), kData3, AccessKind::Write, &valid), kNoFault);
  EXPECT_TRUE(valid);
  ASSERT_EQ(verify_segment(cpu(), 0xfff8, AccessKind::Read, &valid), kNoFault);
  EXPECT_FALSE(valid);
}

TEST_F(Segmentation, IoPermissionBitmapDecidesAboveIopl) {
  enter_ring(3);
  set16(kTss + 104 + 0x3f8 / 8, 0x0100);  // port 0x400 denied
  EXPECT_EQ(check_io_permission(cpu(), 0x3ff, 1), kNoFault);
  EXPECT_EQ(check_io_permission(cpu(), 0x3ff, 2), gp(0));
  EXPECT_EQ(check_io_permission(cpu(), 0x400, 1), gp(0));
  state.eflags |= kFlagIopl;
  EXPECT_EQ(check_io_permission(cpu(), 0x400, 1), kNoFault);
  state.eflags |= kFlagVm;
  EXPECT_EQ(check_io_permission(cpu(), 0x400, 1), gp(0));
}

TEST_F(Segmentation, IoPermissionNeedsBothBytesInsideTheTss) {
  enter_ring(3);
  state.tr.limit = 104 + 1;
  EXPECT_EQ(check_io_permission(cpu(), 7, 1), kNoFault);
  EXPECT_EQ(check_io_permission(cpu(), 8, 1), gp(0));
  state.tr.attributes = 0x83;
  EXPECT_EQ(check_io_permission(cpu(), 0, 1), gp(0));
}

}  // namespace
}  // namespace ringshift

#include "monitor/cpu/control_registers.h"

#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class ControlRegisters : public CpuFixture {};

MaybeFault gp() { return GuestFault::general_protection(0); }

TEST_F(ControlRegisters, Cr0RefusesPagingWithoutProtectionAndNwWithoutCd) {
  EXPECT_EQ(write_cr0(cpu(), kCr0Pg), gp());
  EXPECT_EQ(write_cr0(cpu(), kCr0Pe | kCr0Nw), gp());
  ASSERT_EQ(write_cr0(cpu(), kCr0Pe | 0x0000ffc0U), kNoFault);
  EXPECT_EQ(state.cr0, kCr0Pe | kCr0Et);
}

TEST_F(ControlRegisters, Cr0PagingBitsAreAPagingModeChange) {
  ASSERT_EQ(write_cr0(cpu(), state.cr0 | kCr0Ts), kNoFault);
  EXPECT_EQ(paging_.mode_changes, 0);
  ASSERT_EQ(write_cr0(cpu(), state.cr0 | kCr0Wp), kNoFault);
  EXPECT_EQ(paging_.mode_changes, 1);
}

TEST_F(ControlRegisters, Cr4RefusesWhatTheModelLacks) {
  for (const uint32_t bit : {kCr4Vme, kCr4Pvi, kCr4Mce, 1U << 11, 1U << 18, 1U << 20, 1U << 21}) {
    EXPECT_EQ(write_cr4(cpu(), bit), gp()) << bit;
  }
  ASSERT_EQ(write_cr4(cpu(), kCr4Pae | kCr4Pge | kCr4Osfxsr), kNoFault);
  EXPECT_EQ(paging_.mode_changes, 1);
  model.pae = false;
  EXPECT_EQ(write_cr4(cpu(), kCr4Pae), gp());
}

TEST_F(ControlRegisters, Cr3LoadsPdptesUnderPaeAndChecksReservedBits) {
  state.cr4 = kCr4Pae;
  state.cr0 |= kCr0Pg;
  for (uint32_t i = 0; i < 4; ++i) {
    set32(0x7020 + i * 8, (0x8000 + i * 0x1000) | 1);
  }
  ASSERT_EQ(write_cr3(cpu(), 0x7020), kNoFault);
  EXPECT_EQ(state.pdpte[3], 0xb001U);
  EXPECT_EQ(paging_.cr3_loads, 1);
  set32(0x7020, 0x8003);
  EXPECT_EQ(write_cr3(cpu(), 0x7020), gp());
  EXPECT_EQ(state.pdpte[0], 0x8001U);
  set32(0x7020, 0x8002);  // not present: reserved bits do not matter
  EXPECT_EQ(write_cr3(cpu(), 0x7020), kNoFault);
  set32(0x7020, 0x8001);
  set32(0x7024, 0x10);  // beyond 36 physical bits
  EXPECT_EQ(write_cr3(cpu(), 0x7020), gp());
}

TEST_F(ControlRegisters, EnablingPaePagingLoadsPdptes) {
  state.cr4 = kCr4Pae;
  state.cr3 = 0x7000;
  set32(0x7008, 0x8001);
  ASSERT_EQ(write_cr0(cpu(), state.cr0 | kCr0Pg), kNoFault);
  EXPECT_EQ(state.pdpte[1], 0x8001U);
  EXPECT_EQ(paging_.mode_changes, 1);
}

TEST_F(ControlRegisters, InvlpgReportsThePage) {
  invalidate_page(cpu(), GuestVirtual(0x1234567));
  ASSERT_EQ(paging_.pages.size(), 1U);
  EXPECT_EQ(paging_.pages[0].value(), 0x1234567U);
}

TEST_F(ControlRegisters, DebugRegistersAliasAndGuard) {
  uint32_t value = 0;
  ASSERT_EQ(write_debug_register(cpu(), 6, 0), kNoFault);
  ASSERT_EQ(read_debug_register(cpu(), 4, &value), kNoFault);
  EXPECT_EQ(value, 0xffff0ff0U);
  ASSERT_EQ(write_debug_register(cpu(), 7, 0x0000d901), kNoFault);
  ASSERT_EQ(read_debug_register(cpu(), 5, &value), kNoFault);
  EXPECT_EQ(value, 0x00000501U);
  state.cr4 |= kCr4De;
  EXPECT_EQ(read_debug_register(cpu(), 4, &value), MaybeFault(GuestFault::invalid_opcode()));
  state.dr[7] |= 1U << 13;
  const MaybeFault fault = write_debug_register(cpu(), 0, 5);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->vector, Vector::Debug);
  EXPECT_EQ(fault->dr6_bits, 1U << 13);
  EXPECT_EQ(state.dr[0], 0U);
}

TEST_F(ControlRegisters, ResetIsThePowerOnState) {
  reset(state);
  EXPECT_EQ(state.cr0, 0x60000010U);
  EXPECT_EQ(state.eip, 0xfff0U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0xffff0000U);
  EXPECT_EQ(state.eflags, 2U);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.dr[7], 0x400U);
  EXPECT_EQ(state.idtr.limit, 0xffffU);
}

}  // namespace
}  // namespace ringshift

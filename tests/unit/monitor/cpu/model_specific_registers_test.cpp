#include "monitor/cpu/control_registers.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class ModelSpecificRegisters : public CpuFixture {};

MaybeFault gp() { return GuestFault::general_protection(0); }

TEST_F(ModelSpecificRegisters, UnknownRegistersAreGeneralProtection) {
  uint64_t value = 0;
  for (const uint32_t index : {0x1bU, 0x179U, 0x210U, 0x2feU, 0xc0000081U, 0xdeadbeefU}) {
    EXPECT_EQ(read_msr(cpu(), index, &value), gp()) << index;
    EXPECT_EQ(write_msr(cpu(), index, 0), gp()) << index;
  }
}

TEST_F(ModelSpecificRegisters, ApicBaseSwitchesTheApicAndDoesNotMoveIt) {
  ManualClock clock;
  LocalApic apic(clock);
  cpu().apic = &apic;
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), 0x1b, &value), kNoFault);
  EXPECT_EQ(value, 0xfee00900U);
  ASSERT_EQ(write_msr(cpu(), 0x1b, 0xfee00100), kNoFault);
  EXPECT_FALSE(apic.enabled());
  ASSERT_EQ(read_msr(cpu(), 0x1b, &value), kNoFault);
  EXPECT_EQ(value, 0xfee00100U);
  EXPECT_EQ(write_msr(cpu(), 0x1b, 0xfec00900), gp());
  EXPECT_EQ(write_msr(cpu(), 0x1b, 0xfee00d00), gp());  // x2APIC mode
  ASSERT_EQ(write_msr(cpu(), 0x1b, 0xfee00900), kNoFault);
  EXPECT_TRUE(apic.enabled());
}

TEST_F(ModelSpecificRegisters, MemoryTypesHoldWhatTheyMay) {
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), 0xfe, &value), kNoFault);
  EXPECT_EQ(value, 0x508U);
  EXPECT_EQ(write_msr(cpu(), 0xfe, value), gp());
  const struct {
    uint32_t index;
    uint64_t good, bad;
  } cases[] = {{0x2ff, 0xc06, 0x1c06},
               {0x200, 0xe0000000, 0xe0000002},
               {0x201, 0xfe0000800, 0xff0000801},
               {0x20f, 0xf00000800, 1ULL << 36},
               {0x250, 0x0606060606060606, 0x0606060606060603},
               {0x26f, 0x0501040600060606, 7}};
  for (const auto& [index, good, bad] : cases) {
    ASSERT_EQ(write_msr(cpu(), index, good), kNoFault) << index;
    EXPECT_EQ(write_msr(cpu(), index, bad), gp()) << index;
    ASSERT_EQ(read_msr(cpu(), index, &value), kNoFault);
    EXPECT_EQ(value, good);
  }
}

TEST_F(ModelSpecificRegisters, WritingTheTscMovesTheOffset) {
  tsc_.now = 5000;
  ASSERT_EQ(write_msr(cpu(), 0x10, 1000), kNoFault);
  EXPECT_EQ(state.tsc_offset, static_cast<uint64_t>(-4000));
}

TEST_F(ModelSpecificRegisters, SysenterRegistersRoundTrip) {
  uint64_t value = 0;
  for (const uint32_t index : {0x174U, 0x175U, 0x176U}) {
    ASSERT_EQ(write_msr(cpu(), index, index), kNoFault);
    ASSERT_EQ(read_msr(cpu(), index, &value), kNoFault);
    EXPECT_EQ(value, index);
  }
  model.sysenter = false;
  EXPECT_EQ(read_msr(cpu(), 0x174, &value), gp());
}

TEST_F(ModelSpecificRegisters, EferHoldsOnlyNxe) {
  ASSERT_EQ(write_msr(cpu(), 0xc0000080, 1U << 11), kNoFault);
  EXPECT_EQ(state.efer, 1U << 11);
  EXPECT_EQ(paging_.mode_changes, 1);
  EXPECT_EQ(write_msr(cpu(), 0xc0000080, 1), gp());
  EXPECT_EQ(write_msr(cpu(), 0xc0000080, 1U << 8), gp());
  model.nx = false;
  uint64_t value = 0;
  EXPECT_EQ(read_msr(cpu(), 0xc0000080, &value), gp());
}

TEST_F(ModelSpecificRegisters, PatRefusesReservedTypes) {
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), 0x277, &value), kNoFault);
  EXPECT_EQ(value, 0x0007040600070406ULL);
  EXPECT_EQ(write_msr(cpu(), 0x277, 2), gp());
  ASSERT_EQ(write_msr(cpu(), 0x277, 0x0407050600070106ULL), kNoFault);
  EXPECT_EQ(state.pat, 0x0407050600070106ULL);
}

TEST_F(ModelSpecificRegisters, ArchCapabilitiesFollowTheModel) {
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), 0x10a, &value), kNoFault);
  EXPECT_EQ(value & 1U, 1U);
  EXPECT_EQ(write_msr(cpu(), 0x10a, value), gp());
  model.meltdown = true;
  EXPECT_EQ(read_msr(cpu(), 0x10a, &value), gp());
}

constexpr uint32_t kMiscEnable = 0x1a0;
constexpr uint64_t kNoExecuteOff = 1ULL << 34;

TEST_F(ModelSpecificRegisters, MiscEnableHoldsTheBitsOfThisModel) {
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), kMiscEnable, &value), kNoFault);
  EXPECT_EQ(value, 0x1801U);  // fast strings; no branch trace store, no precise sampling
  for (const int bit : {0, 9, 19, 22, 34, 37, 39}) {
    ASSERT_EQ(write_msr(cpu(), kMiscEnable, 1ULL << bit), kNoFault) << bit;
    ASSERT_EQ(read_msr(cpu(), kMiscEnable, &value), kNoFault);
    EXPECT_EQ(value, 1ULL << bit | 0x1800) << bit;
  }
  for (const int bit : {1, 7, 16, 18, 23, 32, 38, 63}) {
    EXPECT_EQ(write_msr(cpu(), kMiscEnable, 1ULL << bit), gp()) << bit;
  }
  model.nx = false;
  EXPECT_EQ(write_msr(cpu(), kMiscEnable, kNoExecuteOff), gp());
  model.sse42 = false;
  EXPECT_EQ(read_msr(cpu(), kMiscEnable, &value), gp());
  EXPECT_EQ(write_msr(cpu(), kMiscEnable, 1), gp());
}

TEST_F(ModelSpecificRegisters, ExecuteDisableOffTakesNxeAlong) {
  ASSERT_EQ(write_msr(cpu(), 0xc0000080, 1U << 11), kNoFault);
  ASSERT_EQ(write_msr(cpu(), kMiscEnable, kNoExecuteOff), kNoFault);
  EXPECT_EQ(state.efer, 0U);
  EXPECT_EQ(paging_.mode_changes, 2);
  EXPECT_EQ(write_msr(cpu(), 0xc0000080, 1U << 11), gp());
  EXPECT_EQ(write_msr(cpu(), 0xc0000080, 0), kNoFault);
  ASSERT_EQ(write_msr(cpu(), kMiscEnable, 1), kNoFault);
  EXPECT_EQ(write_msr(cpu(), 0xc0000080, 1U << 11), kNoFault);
}

}  // namespace
}  // namespace ringshift

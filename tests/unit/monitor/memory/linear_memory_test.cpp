#include "monitor/memory/linear_memory.h"

#include <gtest/gtest.h>

#include "shadowmmu/base/counters.h"
#include "tests/support/memory_fixture.h"

namespace ringshift {
namespace {

constexpr uint32_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80;
constexpr uint64_t kDirectory = 0x10000;
constexpr uint64_t kTable = 0x11000;
constexpr auto kSupervisor = Privilege::Supervisor;
constexpr auto kCpl3 = Privilege::User;

// Two-level paging; `map` puts pages of the first 4 MiB anywhere.
class LinearMemoryTest : public MemoryFixture {
 protected:
  LinearMemoryTest() : memory_(*physical_, state_) {
    set_ram32(kDirectory, kTable | kP | kW | kU);
    state_.cr3 = kDirectory;
    state_.cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    state_.cr4 |= kCr4Pse;
  }
  void map(uint32_t linear, uint64_t physical, uint32_t rights) {
    set_ram32(kTable + (linear >> 12) * 4, static_cast<uint32_t>(physical) | rights);
  }
  [[nodiscard]] uint32_t entry(uint32_t linear) const { return ram32(kTable + (linear >> 12) * 4); }
  uint32_t read32(uint32_t linear, Privilege privilege = kSupervisor) {
    uint32_t value = 0;
    EXPECT_EQ(memory_.read_value(GuestVirtual(linear), privilege, &value), kNoFault);
    return value;
  }
  void write32(uint32_t linear, uint32_t value, Privilege privilege = kSupervisor) {
    EXPECT_EQ(memory_.write_value(GuestVirtual(linear), privilege, value), kNoFault);
  }
  MaybeFault try_write32(uint32_t linear, Privilege privilege = kSupervisor) {
    return memory_.write_value(GuestVirtual(linear), privilege, uint32_t{0xffffffff});
  }
  MaybeFault try_read32(uint32_t linear, Privilege privilege = kSupervisor) {
    uint32_t value = 0;
    return memory_.read_value(GuestVirtual(linear), privilege, &value);
  }

  GuestState state_;
  LinearMemory memory_;
};

TEST_F(LinearMemoryTest, WithPagingOffLinearIsPhysical) {
  state_.cr0 &= ~kCr0Pg;
  write32(0x5004, 0x1234, kCpl3);
  EXPECT_EQ(ram32(0x5004), 0x1234U);
  EXPECT_EQ(read32(0x5004), 0x1234U);
  EXPECT_EQ(read32(0xfffffffc), 0xffffffffU);
}

TEST_F(LinearMemoryTest, AFlushOfAllButGlobalPagesForgetsTheOthers) {
  constexpr uint32_t kGlobal = 0x100;
  state_.cr4 |= kCr4Pge;
  set_ram32(0x20000, 1);
  set_ram32(0x21000, 2);
  map(0x5000, 0x20000, kP | kA | kGlobal);
  map(0x6000, 0x20000, kP | kA);
  EXPECT_EQ(read32(0x5000), 1U);
  EXPECT_EQ(read32(0x6000), 1U);
  map(0x5000, 0x21000, kP | kA | kGlobal);
  map(0x6000, 0x21000, kP | kA);
  memory_.flush_all_but_global();
  EXPECT_EQ(read32(0x5000), 1U);  // allowed to be old, and old, or a global page saves nothing
  EXPECT_EQ(read32(0x6000), 2U);
  memory_.flush();
  EXPECT_EQ(read32(0x5000), 2U);
}

TEST_F(LinearMemoryTest, MoreFillsThanAreNotedAreAllForgotten) {
  state_.cr4 |= kCr4Pge;
  set_ram32(0x20000, 1);
  set_ram32(0x21000, 2);
  constexpr uint32_t kPages = 700;
  for (uint32_t i = 0; i < kPages; ++i) map(0x100000 + i * kPageSize, 0x20000, kP | kA);
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_EQ(read32(0x100000 + i * kPageSize), 1U);
  for (uint32_t i = 0; i < kPages; ++i) map(0x100000 + i * kPageSize, 0x21000, kP | kA);
  memory_.flush_all_but_global();
  for (uint32_t i = 0; i < kPages; ++i) EXPECT_EQ(read32(0x100000 + i * kPageSize), 2U);
}

TEST_F(LinearMemoryTest, WithPagingOffAnAccessWrapsAtFourGibibytes) {
  state_.cr0 &= ~kCr0Pg;
  set_ram32(0, 0x44332211);
  EXPECT_EQ(read32(0xfffffffe), 0x2211ffffU);
}

TEST_F(LinearMemoryTest, EveryWidthUpToAPageIsReadBackOnTheFirstAndOnCachedAccesses) {
  map(0x4000, 0x30000, kP | kW);
  for (uint32_t length : {1U, 2U, 4U, 8U, 10U, 16U, 512U, 4096U}) {
    std::vector<uint8_t> written(length, static_cast<uint8_t>(length + 1));
    std::vector<uint8_t> read(length);
    for (int pass = 0; pass < 2; ++pass) {
      ASSERT_EQ(memory_.write(GuestVirtual(0x4000), written.data(), length, kSupervisor), kNoFault);
      ASSERT_EQ(memory_.read(GuestVirtual(0x4000), read.data(), length, kSupervisor), kNoFault);
      EXPECT_EQ(read, written) << length;
    }
    memory_.flush();
  }
}

TEST_F(LinearMemoryTest, ASecondAccessToThePageIsNoSecondFill) {
  map(0x4000, 0x30000, kP | kW);
  uint64_t before = counters().tlb_fills;
  read32(0x4000);
  read32(0x4ffc);
  EXPECT_EQ(counters().tlb_fills, before + 1);
  write32(0x4000, 1);
  write32(0x4008, 1);
  EXPECT_EQ(counters().tlb_fills, before + 2);
}

TEST_F(LinearMemoryTest, AReadDoesNotMakeTheFirstWriteSkipTheDirtyBit) {
  map(0x4000, 0x30000, kP | kW);
  read32(0x4000);
  EXPECT_EQ(entry(0x4000), 0x30000 | kP | kW | kA);
  write32(0x4000, 1);
  EXPECT_EQ(entry(0x4000), 0x30000 | kP | kW | kA | kD);
}

TEST_F(LinearMemoryTest, ASupervisorTranslationIsNotUsedForUserAccesses) {
  map(0x4000, 0x30000, kP | kW);
  read32(0x4000);
  write32(0x4000, 1);
  EXPECT_EQ(try_read32(0x4000, kCpl3),
            GuestFault::page_fault(0x4000, kPageFaultPresent | kPageFaultUser));
  EXPECT_EQ(try_write32(0x4000, kCpl3),
            GuestFault::page_fault(0x4000, kPageFaultPresent | kPageFaultUser | kPageFaultWrite));
}

TEST_F(LinearMemoryTest, AStaleTranslationLivesUntilInvlpgOrFlush) {
  map(0x4000, 0x30000, kP | kW);
  set_ram32(0x30000, 1);
  set_ram32(0x31000, 2);
  set_ram32(0x32000, 3);
  EXPECT_EQ(read32(0x4000), 1U);
  map(0x4000, 0x31000, kP | kW);
  EXPECT_EQ(read32(0x4000), 1U);
  memory_.flush_page(GuestVirtual(0x4abc));
  EXPECT_EQ(read32(0x4000), 2U);
  map(0x4000, 0x32000, kP | kW);
  memory_.flush();
  EXPECT_EQ(read32(0x4000), 3U);
}

TEST_F(LinearMemoryTest, FlushPageLeavesOtherPagesAlone) {
  map(0x4000, 0x30000, kP);
  map(0x5000, 0x31000, kP);
  read32(0x4000);
  read32(0x5000);
  uint64_t before = counters().tlb_fills;
  memory_.flush_page(GuestVirtual(0x4000));
  read32(0x5000);
  EXPECT_EQ(counters().tlb_fills, before);
}

TEST_F(LinearMemoryTest, NoTranslationComesBackAfterAnyNumberOfFlushes) {
  map(0x4000, 0x30000, kP);
  for (int flushes = 1; flushes <= 4096; ++flushes) {
    set_ram32(0x30000, 1);
    map(0x4000, 0x30000, kP);
    EXPECT_EQ(read32(0x4000), 1U);
    map(0x4000, 0, 0);
    memory_.flush();
    ASSERT_TRUE(try_read32(0x4000)) << flushes;
  }
  // One fill, then exactly as many flushes as there are generations, and one fewer and one more.
  for (int extra = 1022; extra <= 1026; ++extra) {
    map(0x4000, 0x30000, kP);
    read32(0x4000);
    map(0x4000, 0, 0);
    for (int i = 0; i < extra; ++i) memory_.flush();
    ASSERT_TRUE(try_read32(0x4000)) << extra;
  }
}

TEST_F(LinearMemoryTest, InvlpgOfAnyAddressDropsTheWholeLargePage) {
  set_ram32(kDirectory + 4, kP | kW | kPs);
  set_ram32(0x30000, 7);
  EXPECT_EQ(read32(0x00430000), 7U);
  set_ram32(kDirectory + 4, 0);
  EXPECT_EQ(read32(0x00430000), 7U);
  memory_.flush_page(GuestVirtual(0x007ff000));
  EXPECT_TRUE(try_read32(0x00430000));
}

TEST_F(LinearMemoryTest, AFaultForgetsWhatWasCachedForItsAddress) {
  map(0x4000, 0x30000, kP);
  set_ram32(0x31000, 9);
  EXPECT_EQ(read32(0x4000), 0U);
  map(0x4000, 0x31000, kP);
  EXPECT_TRUE(try_write32(0x4000));
  EXPECT_EQ(read32(0x4000), 9U);
}

TEST_F(LinearMemoryTest, AnAccessAcrossPagesUsesBothTranslations) {
  map(0x4000, 0x30000, kP | kW);
  map(0x5000, 0x38000, kP | kW);
  write32(0x4ffe, 0x44332211);
  EXPECT_EQ(ram32(0x30ffc), 0x22110000U);
  EXPECT_EQ(ram32(0x38000), 0x00004433U);
  EXPECT_EQ(read32(0x4ffe), 0x44332211U);
}

TEST_F(LinearMemoryTest, AFaultOnTheSecondPageIsRaisedThereAndNoByteHasMoved) {
  map(0x4000, 0x30000, kP | kW);
  EXPECT_EQ(try_write32(0x4ffe), GuestFault::page_fault(0x5000, kPageFaultWrite));
  EXPECT_EQ(ram32(0x30ffc), 0U);
  uint32_t value = 0x5a5a5a5a;
  EXPECT_EQ(memory_.read_value(GuestVirtual(0x4ffe), kSupervisor, &value),
            GuestFault::page_fault(0x5000, 0));
  EXPECT_EQ(value, 0x5a5a5a5aU);
}

TEST_F(LinearMemoryTest, AFaultOnTheFirstPageCarriesTheAddressOfTheAccess) {
  map(0x5000, 0x30000, kP | kW);
  EXPECT_EQ(try_read32(0x4ffe), GuestFault::page_fault(0x4ffe, 0));
}

TEST_F(LinearMemoryTest, ProbeWriteSetsDirtyAndChangesNoByte) {
  map(0x4000, 0x30000, kP | kW);
  map(0x5000, 0x31000, kP);
  EXPECT_EQ(memory_.probe_write(GuestVirtual(0x4000), 4, kSupervisor), kNoFault);
  EXPECT_EQ(entry(0x4000), 0x30000 | kP | kW | kA | kD);
  EXPECT_EQ(ram32(0x30000), 0U);
  EXPECT_EQ(memory_.probe_write(GuestVirtual(0x4ffd), 4, kSupervisor),
            GuestFault::page_fault(0x5000, kPageFaultPresent | kPageFaultWrite));
  EXPECT_EQ(memory_.probe_read(GuestVirtual(0x4ffd), 4, kSupervisor), kNoFault);
}

TEST_F(LinearMemoryTest, EveryWriteToAWatchedPageIsSeen) {
  map(0x4000, 0x30000, kP | kW);
  RecordingObserver observer{GuestPhysicalPage(0x30)};
  physical_->set_observer(&observer);
  for (uint32_t i = 0; i < 3; ++i) write32(0x4000 + 4 * i, 0xabcd);
  EXPECT_EQ(observer.addresses.size(), 3U);
  EXPECT_EQ(observer.addresses.back(), GuestPhysical(0x30008));
  EXPECT_EQ(ram32(0x30008), 0xabcdU);
}

TEST_F(LinearMemoryTest, AWatchThatBeginsLaterIsSeenAfterFlushPhysicalPage) {
  map(0x4000, 0x30000, kP | kW);
  map(0x6000, 0x30000, kP | kW | kU);
  RecordingObserver observer{GuestPhysicalPage(0x30)};
  observer.watching = false;
  physical_->set_observer(&observer);
  write32(0x4000, 1);
  write32(0x6000, 1, kCpl3);
  observer.watching = true;
  memory_.flush_physical_page(GuestPhysicalPage(0x30));
  write32(0x4000, 2);
  write32(0x6004, 2, kCpl3);
  EXPECT_EQ(observer.addresses,
            (std::vector<GuestPhysical>{GuestPhysical(0x30000), GuestPhysical(0x30004)}));
}

TEST_F(LinearMemoryTest, AWatchThatEndsMakesWritesDirectAgainAfterFlushPhysicalPage) {
  map(0x4000, 0x30000, kP | kW);
  RecordingObserver observer{GuestPhysicalPage(0x30)};
  physical_->set_observer(&observer);
  write32(0x4000, 1);
  observer.watching = false;
  memory_.flush_physical_page(GuestPhysicalPage(0x30));
  write32(0x4000, 2);
  EXPECT_EQ(observer.addresses.size(), 1U);
  EXPECT_EQ(ram32(0x30000), 2U);
}

TEST_F(LinearMemoryTest, AWriteAcrossPagesReportsTheWatchedOne) {
  map(0x4000, 0x30000, kP | kW);
  map(0x5000, 0x38000, kP | kW);
  RecordingObserver observer{GuestPhysicalPage(0x38)};
  physical_->set_observer(&observer);
  write32(0x4fff, 1);
  EXPECT_EQ(observer.addresses, (std::vector<GuestPhysical>{GuestPhysical(0x38000)}));
  EXPECT_EQ(observer.lengths, (std::vector<uint32_t>{3}));
}

TEST_F(LinearMemoryTest, DevicePagesAreReachedOnEveryAccess) {
  map(0x4000, kDevice.value(), kP | kW);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read32(0x4004), 0xd3d2d1d4U);
  for (int i = 0; i < 3; ++i) write32(0x4008, 0x11);
  EXPECT_EQ(device_.reads.size(), 3U);
  EXPECT_EQ(device_.writes.size(), 3U);
}

TEST_F(LinearMemoryTest, FetchStopsBeforeAPageThatFaults) {
  map(0x4000, 0x30000, kP);
  set_ram32(0x30ffc, 0x90909090);
  std::array<uint8_t, 15> bytes{};
  uint32_t fetched = 0;
  EXPECT_EQ(memory_.fetch(GuestVirtual(0x4ffc), bytes.data(), 15, kSupervisor, &fetched), kNoFault);
  EXPECT_EQ(fetched, 4U);
  EXPECT_EQ(bytes[3], 0x90);
  EXPECT_EQ(bytes[4], 0);
}

TEST_F(LinearMemoryTest, FetchGoesOnIntoThePageThatFollows) {
  map(0x4000, 0x30000, kP);
  map(0x5000, 0x38000, kP);
  set_ram32(0x38000, 0x04030201);
  std::array<uint8_t, 15> bytes{};
  uint32_t fetched = 0;
  EXPECT_EQ(memory_.fetch(GuestVirtual(0x4ffc), bytes.data(), 15, kSupervisor, &fetched), kNoFault);
  EXPECT_EQ(fetched, 15U);
  EXPECT_EQ(bytes[7], 4);
}

TEST_F(LinearMemoryTest, FetchOfNotEvenOneByteIsAFault) {
  std::array<uint8_t, 15> bytes{};
  uint32_t fetched = 1;
  EXPECT_EQ(memory_.fetch(GuestVirtual(0x4ffc), bytes.data(), 15, kCpl3, &fetched),
            GuestFault::page_fault(0x4ffc, kPageFaultUser));
  EXPECT_EQ(fetched, 0U);
}

TEST_F(LinearMemoryTest, FetchHonoursNoExecuteThoughReadsAreCached) {
  state_.cr4 |= kCr4Pae;
  state_.efer |= kEferNxe;
  state_.pdpte[0] = kDirectory | kP;
  set_ram32(kDirectory, kP | kW | kPs);
  set_ram32(kDirectory + 4, 0x80000000);
  read32(0x4000);
  std::array<uint8_t, 4> bytes{};
  uint32_t fetched = 0;
  EXPECT_EQ(memory_.fetch(GuestVirtual(0x4000), bytes.data(), 4, kSupervisor, &fetched),
            GuestFault::page_fault(0x4000, kPageFaultPresent | kPageFaultFetch));
}

TEST_F(LinearMemoryTest, TranslateGivesThePhysicalByteAndSetsTheBitsOfTheAccess) {
  map(0x4000, 0x30000, kP | kW | kU);
  GuestPhysical physical;
  EXPECT_EQ(memory_.translate(GuestVirtual(0x4abc), AccessKind::Write, kCpl3, &physical), kNoFault);
  EXPECT_EQ(physical, GuestPhysical(0x30abc));
  EXPECT_EQ(entry(0x4000), 0x30000 | kP | kW | kU | kA | kD);
}

TEST_F(LinearMemoryTest, MaskedA20AppliesAfterPaging) {
  map(0x4000, 0x100000, kP | kW);
  physical_->set_a20(false);
  memory_.flush();
  write32(0x4010, 0x55);
  EXPECT_EQ(ram32(0x10), 0x55U);
  write32(0x4014, 0x66);
  EXPECT_EQ(ram32(0x14), 0x66U);
}

TEST_F(LinearMemoryTest, FlushesAndInvalidationsAreCounted) {
  uint64_t flushes = counters().tlb_flushes;
  uint64_t invalidations = counters().tlb_invlpg;
  memory_.flush();
  memory_.flush_page(GuestVirtual(0));
  EXPECT_TRUE(try_read32(0x4000));
  EXPECT_EQ(counters().tlb_flushes, flushes + 1);
  EXPECT_EQ(counters().tlb_invlpg, invalidations + 1);
}

TEST_F(LinearMemoryTest, PagingModeFollowsTheControlRegisters) {
  state_.cr4 |= kCr4Pge;
  state_.efer |= kEferNxe;
  PagingMode mode = memory_.paging_mode();
  EXPECT_TRUE(mode.paging && mode.pse && mode.global && mode.write_protect);
  EXPECT_FALSE(mode.pae || mode.no_execute);
  state_.cr4 |= kCr4Pae;
  state_.pdpte[2] = 0x123001;
  mode = memory_.paging_mode();
  EXPECT_TRUE(mode.pae && mode.no_execute);
  EXPECT_EQ(mode.pdpte[2], 0x123001U);
  EXPECT_EQ(mode.cr3, kDirectory);
}

}  // namespace
}  // namespace ringshift

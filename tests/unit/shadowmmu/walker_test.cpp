#include "shadowmmu/walker.h"

#include <gtest/gtest.h>

#include "tests/support/table_memory.h"

namespace ringshift {
namespace {

constexpr uint64_t kP = 1 << 0;
constexpr uint64_t kW = 1 << 1;
constexpr uint64_t kU = 1 << 2;
constexpr uint64_t kA = 1 << 5;
constexpr uint64_t kD = 1 << 6;
constexpr uint64_t kPs = 1 << 7;
constexpr uint64_t kG = 1 << 8;
constexpr uint64_t kPat = 1 << 12;  // in a large entry
constexpr uint64_t kNx = uint64_t{1} << 63;

constexpr uint64_t kDirectory = 0x1000;
constexpr uint64_t kTable = 0x2000;
constexpr uint64_t kFrame = 0x5000;
// In both formats directory index 3 with the indices below: 3 << 22 = 6 << 21.
constexpr GuestVirtual kAddress(0x00c07abc);

constexpr uint32_t kNotPresent = 0;
constexpr auto kReads = AccessKind::Read;
constexpr auto kWrites = AccessKind::Write;
constexpr auto kFetches = AccessKind::Fetch;
constexpr auto kSupervisor = Privilege::Supervisor;
constexpr auto kCpl3 = Privilege::User;

class TwoLevelWalk : public testing::Test {
 protected:
  TwoLevelWalk() {
    mode_.paging = true;
    mode_.cr3 = kDirectory | 0x18;  // PWT and PCD are no part of the address
    set(kP | kW | kU, kFrame | kP | kW | kU);
  }
  void set(uint64_t directory_entry, uint64_t table_entry) {
    memory_.store32(kDirectory + 3 * 4, static_cast<uint32_t>(kTable | directory_entry));
    memory_.store32(kTable + 7 * 4, static_cast<uint32_t>(table_entry));
  }
  void set_large(uint64_t entry) {
    memory_.store32(kDirectory + 3 * 4, static_cast<uint32_t>(entry | kPs));
  }
  [[nodiscard]] uint32_t directory_entry() const { return memory_.load32(kDirectory + 3 * 4); }
  [[nodiscard]] uint32_t table_entry() const { return memory_.load32(kTable + 7 * 4); }
  WalkResult go(AccessKind access, Privilege privilege) {
    return walk(mode_, memory_, kAddress, access, privilege);
  }
  // The error code, or ~0 when there is no fault.
  uint32_t code(AccessKind access, Privilege privilege) {
    WalkResult result = go(access, privilege);
    return result.fault ? result.fault->error_code : ~0U;
  }

  TableMemory memory_;
  PagingMode mode_;
};

constexpr uint32_t kNone = ~0U;

class PaeWalk : public testing::Test {
 protected:
  PaeWalk() {
    mode_.paging = true;
    mode_.pae = true;
    mode_.no_execute = true;
    mode_.pdpte[0] = kDirectory | kP;
    set(kP | kW | kU, kFrame | kP | kW | kU);
  }
  void set(uint64_t directory_entry, uint64_t table_entry) {
    memory_.store64(kDirectory + 6 * 8, kTable | directory_entry);
    memory_.store64(kTable + 7 * 8, table_entry);
  }
  void set_large(uint64_t entry) { memory_.store64(kDirectory + 6 * 8, entry | kPs); }
  WalkResult go(AccessKind access, Privilege privilege) {
    return walk(mode_, memory_, kAddress, access, privilege);
  }
  uint32_t code(AccessKind access, Privilege privilege) {
    WalkResult result = go(access, privilege);
    return result.fault ? result.fault->error_code : kNone;
  }

  TableMemory memory_;
  PagingMode mode_;
};

TEST(Walker, PagingOffIsTheIdentityWithEveryRight) {
  TableMemory memory;
  WalkResult result = walk({}, memory, GuestVirtual(0xfffff123), kWrites, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(0xfffff123));
  EXPECT_EQ(result.translation.levels, 0);
  EXPECT_TRUE(result.translation.writable && result.translation.user &&
              result.translation.executable && result.translation.dirty);
}

TEST_F(TwoLevelWalk, PresentPageTranslatesWithItsOffset) {
  WalkResult result = go(kReads, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(kFrame + 0xabc));
  EXPECT_EQ(result.translation.page_bytes, 4096U);
}

TEST_F(TwoLevelWalk, EntryLocationsAreReportedWithTheValuesTheyNowHold) {
  WalkResult result = go(kWrites, kCpl3);
  ASSERT_EQ(result.translation.levels, 2);
  EXPECT_EQ(result.translation.entries[0].address, GuestPhysical(kDirectory + 12));
  EXPECT_EQ(result.translation.entries[0].value, directory_entry());
  EXPECT_EQ(result.translation.entries[1].address, GuestPhysical(kTable + 28));
  EXPECT_EQ(result.translation.entries[1].value, table_entry());
}

TEST_F(TwoLevelWalk, PageFaultCarriesTheLinearAddress) {
  set(0, 0);
  WalkResult result = go(kReads, kSupervisor);
  ASSERT_TRUE(result.fault);
  EXPECT_EQ(*result.fault, GuestFault::page_fault(kAddress.value(), 0));
}

TEST_F(TwoLevelWalk, NotPresentDirectoryEntryClearsPInTheErrorCode) {
  set(kW | kU, kFrame | kP | kW | kU);
  EXPECT_EQ(code(kReads, kSupervisor), kNotPresent);
  EXPECT_EQ(code(kWrites, kSupervisor), kPageFaultWrite);
  EXPECT_EQ(code(kReads, kCpl3), kPageFaultUser);
  EXPECT_EQ(code(kWrites, kCpl3), kPageFaultWrite | kPageFaultUser);
}

TEST_F(TwoLevelWalk, NotPresentTableEntryClearsPEvenIfTheDirectoryEntryDeniesTheAccess) {
  set(kP, kFrame | kW | kU);
  EXPECT_EQ(code(kWrites, kCpl3), kPageFaultWrite | kPageFaultUser);
}

TEST_F(TwoLevelWalk, FetchIsAReadInTheErrorCodeWithoutNoExecute) {
  set(kP | kW, kFrame | kP | kW);
  EXPECT_EQ(code(kFetches, kCpl3), kPageFaultPresent | kPageFaultUser);
}

TEST_F(TwoLevelWalk, UserNeedsTheUserBitAtBothLevels) {
  set(kP | kW, kFrame | kP | kW | kU);
  EXPECT_EQ(code(kReads, kCpl3), kPageFaultPresent | kPageFaultUser);
  set(kP | kW | kU, kFrame | kP | kW);
  EXPECT_EQ(code(kReads, kCpl3), kPageFaultPresent | kPageFaultUser);
  EXPECT_EQ(code(kReads, kSupervisor), kNone);
}

TEST_F(TwoLevelWalk, UserWriteNeedsTheWriteBitAtBothLevelsWhateverWpIs) {
  constexpr uint32_t kDenied = kPageFaultPresent | kPageFaultWrite | kPageFaultUser;
  for (bool write_protect : {false, true}) {
    mode_.write_protect = write_protect;
    set(kP | kU, kFrame | kP | kW | kU);
    EXPECT_EQ(code(kWrites, kCpl3), kDenied);
    set(kP | kW | kU, kFrame | kP | kU);
    EXPECT_EQ(code(kWrites, kCpl3), kDenied);
    EXPECT_EQ(code(kReads, kCpl3), kNone);
  }
}

TEST_F(TwoLevelWalk, SupervisorWritesReadOnlyPagesOnlyWhileWpIsClear) {
  set(kP, kFrame | kP | kW | kU);
  EXPECT_EQ(code(kWrites, kSupervisor), kNone);
  mode_.write_protect = true;
  EXPECT_EQ(code(kWrites, kSupervisor), kPageFaultPresent | kPageFaultWrite);
  set(kP | kW, kFrame | kP);
  EXPECT_EQ(code(kWrites, kSupervisor), kPageFaultPresent | kPageFaultWrite);
  EXPECT_EQ(code(kReads, kSupervisor), kNone);
}

TEST_F(TwoLevelWalk, RightsAreReportedForBothPrivileges) {
  set(kP | kU, kFrame | kP | kW | kU);
  WalkResult supervisor = go(kReads, kSupervisor);
  EXPECT_TRUE(supervisor.translation.writable);
  EXPECT_FALSE(supervisor.translation.writable_user);
  EXPECT_TRUE(supervisor.translation.user);
  EXPECT_FALSE(go(kReads, kCpl3).translation.writable);
  mode_.write_protect = true;
  EXPECT_FALSE(go(kReads, kSupervisor).translation.writable);
}

TEST_F(TwoLevelWalk, ReadSetsAccessedAtBothLevelsAndNotDirty) {
  EXPECT_FALSE(go(kReads, kSupervisor).translation.dirty);
  EXPECT_EQ(directory_entry(), kTable | kP | kW | kU | kA);
  EXPECT_EQ(table_entry(), kFrame | kP | kW | kU | kA);
}

TEST_F(TwoLevelWalk, WriteSetsDirtyInTheTableEntryOnly) {
  EXPECT_TRUE(go(kWrites, kSupervisor).translation.dirty);
  EXPECT_EQ(directory_entry(), kTable | kP | kW | kU | kA);
  EXPECT_EQ(table_entry(), kFrame | kP | kW | kU | kA | kD);
}

TEST_F(TwoLevelWalk, EntriesWhoseBitsAreSetAlreadyAreNotWrittenAgain) {
  ASSERT_EQ(code(kWrites, kSupervisor), kNone);
  uint32_t updates = memory_.updates();
  ASSERT_EQ(code(kWrites, kSupervisor), kNone);
  ASSERT_EQ(code(kReads, kCpl3), kNone);
  EXPECT_EQ(memory_.updates(), updates);
}

TEST_F(TwoLevelWalk, FaultSetsNeitherAccessedNorDirty) {
  set(kP | kW, kFrame | kP | kW);
  EXPECT_NE(code(kWrites, kCpl3), kNone);
  set(kP | kW | kU, kFrame | kW | kU);
  EXPECT_NE(code(kWrites, kCpl3), kNone);
  EXPECT_EQ(memory_.updates(), 0U);
}

TEST_F(TwoLevelWalk, ProbeAnswersAsWalkDoesAndTouchesNothing) {
  WalkResult seen = probe(mode_, memory_, kAddress, kWrites, kCpl3);
  ASSERT_FALSE(seen.fault);
  EXPECT_EQ(seen.translation.physical, GuestPhysical(kFrame + 0xabc));
  EXPECT_FALSE(seen.translation.dirty);
  EXPECT_EQ(memory_.updates(), 0U);
  set(kP, kFrame | kP);
  EXPECT_EQ(probe(mode_, memory_, kAddress, kWrites, kCpl3).fault, go(kWrites, kCpl3).fault);
}

TEST_F(TwoLevelWalk, GlobalNeedsTheLeafBitAndPge) {
  set(kP | kG, kFrame | kP);
  mode_.global = true;
  EXPECT_FALSE(go(kReads, kSupervisor).translation.global);
  set(kP, kFrame | kP | kG);
  EXPECT_TRUE(go(kReads, kSupervisor).translation.global);
  mode_.global = false;
  EXPECT_FALSE(go(kReads, kSupervisor).translation.global);
}

TEST_F(TwoLevelWalk, LargePageSpansFourMebibytesAndSetsAccessedAndDirtyInTheDirectory) {
  mode_.pse = true;
  set_large(0x1f400000 | kP | kW | kU | kPat);
  WalkResult result = go(kWrites, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(0x1f407abc));
  EXPECT_EQ(result.translation.page_bytes, 4U << 20);
  EXPECT_EQ(result.translation.levels, 1);
  EXPECT_EQ(directory_entry(), 0x1f400000 | kP | kW | kU | kPat | kPs | kA | kD);
}

TEST_F(TwoLevelWalk, PageSizeBitIsIgnoredWithoutPse) {
  set(kP | kW | kU | kPs, kFrame | kP | kW | kU);
  WalkResult result = go(kReads, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(kFrame + 0xabc));
}

TEST_F(TwoLevelWalk, ReservedBitInLargePdeRaisesPageFaultWithRsvd) {
  mode_.pse = true;
  for (unsigned bit = 13; bit <= 21; ++bit) {
    set_large((uint64_t{1} << bit) | kP | kW | kU);
    EXPECT_EQ(code(kWrites, kCpl3),
              kPageFaultPresent | kPageFaultReserved | kPageFaultWrite | kPageFaultUser)
        << bit;
  }
  EXPECT_EQ(memory_.updates(), 0U);
}

TEST_F(TwoLevelWalk, NotPresentLargePdeDoesNotReportItsReservedBits) {
  mode_.pse = true;
  set_large(1 << 13);
  EXPECT_EQ(code(kReads, kSupervisor), kNotPresent);
}

TEST_F(TwoLevelWalk, TablesOutsideRamReadAsAllOnes) {
  mode_.cr3 = TableMemory::kBytes;
  WalkResult result = go(kReads, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(0xfffffabc));
}

TEST_F(PaeWalk, PresentPageTranslatesWithItsOffset) {
  set(kP | kW | kU, 0xf00000000 | kFrame | kP | kW | kU);
  WalkResult result = go(kWrites, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(0xf00005abc));
  EXPECT_EQ(result.translation.entries[0].address, GuestPhysical(kDirectory + 48));
  EXPECT_EQ(result.translation.entries[1].address, GuestPhysical(kTable + 56));
  EXPECT_EQ(memory_.load64(kDirectory + 48), kTable | kP | kW | kU | kA);
  EXPECT_EQ(memory_.load64(kTable + 56), 0xf00000000 | kFrame | kP | kW | kU | kA | kD);
}

TEST_F(PaeWalk, DirectoryPointerComesFromTheLoadedRegistersByTheTopTwoBits) {
  mode_.pdpte = {0, 0, 0, kDirectory | kP};
  EXPECT_EQ(code(kWrites, kCpl3), kPageFaultWrite | kPageFaultUser);
  GuestVirtual high(kAddress.value() | 0xc0000000);
  WalkResult result = walk(mode_, memory_, high, kReads, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(kFrame + 0xabc));
}

TEST_F(PaeWalk, LargePageSpansTwoMebibytesWithoutPse) {
  set_large(0x1fe00000 | kP | kW | kU | kPat | kG);
  mode_.global = true;
  WalkResult result = go(kReads, kCpl3);
  ASSERT_FALSE(result.fault);
  EXPECT_EQ(result.translation.physical, GuestPhysical(0x1fe07abc));
  EXPECT_EQ(result.translation.page_bytes, 2U << 20);
  EXPECT_TRUE(result.translation.global);
}

TEST_F(PaeWalk, BitsAboveThePhysicalWidthAreReservedAtBothLevels) {
  for (unsigned bit = 36; bit <= 62; ++bit) {
    uint64_t reserved = uint64_t{1} << bit;
    set(reserved | kP | kW | kU, kFrame | kP | kW | kU);
    EXPECT_EQ(code(kReads, kSupervisor), kPageFaultPresent | kPageFaultReserved) << bit;
    set(kP | kW | kU, reserved | kFrame | kP | kW | kU);
    EXPECT_EQ(code(kReads, kSupervisor), kPageFaultPresent | kPageFaultReserved) << bit;
  }
}

TEST_F(PaeWalk, ReservedBitInLargePdeRaisesPageFaultWithRsvd) {
  for (unsigned bit = 13; bit <= 20; ++bit) {
    set_large((uint64_t{1} << bit) | kP | kW | kU);
    EXPECT_EQ(code(kReads, kCpl3), kPageFaultPresent | kPageFaultReserved | kPageFaultUser) << bit;
  }
}

TEST_F(PaeWalk, ReservedBitInPdeIsFoundBeforeTheTableEntryIsRead) {
  set(uint64_t{1} << 40 | kP, 0);
  EXPECT_EQ(code(kReads, kSupervisor), kPageFaultPresent | kPageFaultReserved);
}

TEST_F(PaeWalk, NoExecuteAtEitherLevelDeniesOnlyFetches) {
  constexpr uint32_t kDenied = kPageFaultPresent | kPageFaultFetch;
  set(kNx | kP | kW | kU, kFrame | kP | kW | kU);
  EXPECT_EQ(code(kFetches, kSupervisor), kDenied);
  EXPECT_EQ(code(kFetches, kCpl3), kDenied | kPageFaultUser);
  set(kP | kW | kU, kNx | kFrame | kP | kW | kU);
  EXPECT_EQ(code(kFetches, kSupervisor), kDenied);
  EXPECT_EQ(code(kReads, kCpl3), kNone);
  EXPECT_EQ(code(kWrites, kCpl3), kNone);
  EXPECT_FALSE(go(kReads, kCpl3).translation.executable);
}

TEST_F(PaeWalk, FetchBitIsSetInEveryFetchFaultWhileNoExecuteIsOn) {
  set(0, 0);
  EXPECT_EQ(code(kFetches, kSupervisor), kPageFaultFetch);
  mode_.no_execute = false;
  EXPECT_EQ(code(kFetches, kSupervisor), kNotPresent);
}

TEST_F(PaeWalk, NoExecuteBitIsReservedWhileNoExecuteIsOff) {
  mode_.no_execute = false;
  set(kNx | kP | kW | kU, kFrame | kP | kW | kU);
  EXPECT_EQ(code(kReads, kSupervisor), kPageFaultPresent | kPageFaultReserved);
  set(kP | kW | kU, kNx | kFrame | kP | kW | kU);
  EXPECT_EQ(code(kFetches, kSupervisor), kPageFaultPresent | kPageFaultReserved);
}

}  // namespace
}  // namespace ringshift

// HotSites: the number of faults after which an instruction is soft, and the events that forget it.
#include "monitor/spaces/hot_sites.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr GuestPhysical kSite(0x1234);

TEST(HotSites, AKernelsSiteIsSoftAfterTwoFaults) {
  HotSites sites;
  EXPECT_FALSE(sites.note_fault(kSite, Privilege::Supervisor));
  EXPECT_FALSE(sites.is_soft(kSite));
  EXPECT_TRUE(sites.note_fault(kSite, Privilege::Supervisor));
  EXPECT_TRUE(sites.is_soft(kSite));
  EXPECT_FALSE(sites.is_soft(kSite + 1));
}

TEST(HotSites, AUsersSiteIsAllowedItsFirstTouches) {
  HotSites sites;
  for (uint32_t i = 1; i < HotSites::kUserFaultsBeforeSoft; ++i) {
    ASSERT_FALSE(sites.note_fault(kSite, Privilege::User)) << i;
  }
  EXPECT_TRUE(sites.note_fault(kSite, Privilege::User));
}

TEST(HotSites, ASoftSiteIsSaidToBeSoOnce) {
  HotSites sites;
  for (int i = 0; i < 2; ++i) (void)sites.note_fault(kSite, Privilege::Supervisor);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(sites.note_fault(kSite, Privilege::Supervisor));
  EXPECT_TRUE(sites.is_soft(kSite));
}

void soften(HotSites& sites, GuestPhysical site) {
  for (uint32_t i = 0; i < HotSites::kSupervisorFaultsBeforeSoft; ++i) {
    (void)sites.note_fault(site, Privilege::Supervisor);
  }
  ASSERT_TRUE(sites.is_soft(site));
}

TEST(HotSites, ASoftSiteThatMissesNeedlesslyIsPlainAgainAndTheNextTimeLater) {
  HotSites sites;
  for (uint32_t patience = 1; patience <= 8; patience *= 2) {
    soften(sites, kSite);
    for (uint32_t i = 1; i < patience; ++i) {
      ASSERT_FALSE(sites.note_needless_misses(kSite)) << patience;
      ASSERT_TRUE(sites.is_soft(kSite));
    }
    EXPECT_TRUE(sites.note_needless_misses(kSite)) << patience;
    EXPECT_FALSE(sites.is_soft(kSite));
  }
  EXPECT_FALSE(sites.note_needless_misses(kSite)) << "it is plain";
}

TEST(HotSites, ACallWithOddReturnsIsToldFromTheFourthOn) {
  HotSites sites;
  for (uint32_t i = 1; i < HotSites::kOddReturnsBeforeBranch; ++i) {
    ASSERT_FALSE(sites.note_odd_return(kSite)) << i;
    ASSERT_FALSE(sites.returns_elsewhere(kSite));
  }
  EXPECT_TRUE(sites.note_odd_return(kSite));
  EXPECT_TRUE(sites.returns_elsewhere(kSite));
  EXPECT_FALSE(sites.is_soft(kSite));
  EXPECT_FALSE(sites.returns_elsewhere(kSite + 1));
  sites.forget_all();
  EXPECT_FALSE(sites.returns_elsewhere(kSite));
}

TEST(HotSites, NeedlessMissesAreCountedForEachInstruction) {
  HotSites sites;
  constexpr Eip kEip(0x1000);
  for (uint32_t i = 1; i < HotSites::kNeedlessMissesAtOnce; ++i) {
    ASSERT_FALSE(sites.note_needless_miss(kEip));
    ASSERT_FALSE(sites.note_needless_miss(kEip + 1));
  }
  EXPECT_TRUE(sites.note_needless_miss(kEip));
  EXPECT_FALSE(sites.note_needless_miss(kEip)) << "from the beginning";
  EXPECT_TRUE(sites.note_needless_miss(kEip + 1));
}

TEST(HotSites, ForgettingGivesEachAnotherChance) {
  HotSites sites;
  (void)sites.note_fault(kSite, Privilege::Supervisor);
  (void)sites.note_fault(kSite, Privilege::Supervisor);
  (void)sites.note_fault(kSite + 1, Privilege::Supervisor);
  sites.forget_all();
  EXPECT_FALSE(sites.is_soft(kSite));
  EXPECT_FALSE(sites.note_fault(kSite + 1, Privilege::Supervisor));
}

TEST(HotSites, AHostileGuestCannotMakeTheListGrow) {
  HotSites sites;
  for (size_t i = 0; i < 3 * HotSites::kMostRemembered; ++i) {
    (void)sites.note_fault(GuestPhysical(i), Privilege::Supervisor);
    (void)sites.note_fault(GuestPhysical(i), Privilege::Supervisor);
  }
  // The first were forgotten to make room, the last are known.
  EXPECT_FALSE(sites.is_soft(GuestPhysical(0)));
  EXPECT_TRUE(sites.is_soft(GuestPhysical(3 * HotSites::kMostRemembered - 1)));
}

TEST(HotSites, ASiteThatReachesDevicesIsLeftToTheMonitorAndTakenBack) {
  constexpr Eip kEip(0x401000);
  HotSites sites;
  for (uint32_t i = 1; i < HotSites::kAccessesBeforeChange; ++i) {
    EXPECT_FALSE(sites.is_device_due(kEip)) << i;
    ASSERT_FALSE(sites.note_device_access(kEip)) << i;
  }
  EXPECT_TRUE(sites.is_device_due(kEip));
  EXPECT_TRUE(sites.note_device_access(kEip));
  EXPECT_TRUE(sites.leave_to_monitor(kSite));
  EXPECT_TRUE(sites.reaches_device(kSite));
  for (uint32_t i = 1; i < HotSites::kAccessesBeforeChange; ++i) {
    ASSERT_FALSE(sites.note_ram_access(kEip)) << i;
  }
  EXPECT_TRUE(sites.note_ram_access(kEip));
  EXPECT_TRUE(sites.take_back(kSite));
  EXPECT_FALSE(sites.reaches_device(kSite));
}

TEST(HotSites, ASiteThatIsTakenBackAgainAndAgainStaysSoft) {
  HotSites sites;
  for (uint32_t i = 0; i < HotSites::kMostReturns; ++i) {
    ASSERT_TRUE(sites.leave_to_monitor(kSite)) << i;
    ASSERT_TRUE(sites.take_back(kSite)) << i;
  }
  EXPECT_FALSE(sites.leave_to_monitor(kSite));
  sites.forget_all();
  EXPECT_TRUE(sites.leave_to_monitor(kSite));
}

}  // namespace
}  // namespace ringshift

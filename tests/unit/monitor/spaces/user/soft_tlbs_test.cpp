// SoftTlbs: each flush takes what it must, and a CR3 load with global pages no more than that.
#include "monitor/spaces/user/soft_tlbs.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>

namespace ringshift {
namespace {

constexpr GuestVirtualPage kPage(0xc0123);
constexpr GuestVirtualPage kOtherPage(0xc0777);
constexpr GuestVirtualPage kFarPage(0x08048);

class SoftTlbsTest : public testing::Test {
 protected:
  SoftTlbsTest() : frame_(std::make_unique<Frame>()) { tlbs_.attach(frame_.get()); }
  void fill(GuestVirtualPage page, Privilege privilege, bool is_global, bool is_large = false) {
    SoftTlbs::Fill fill;
    fill.page = page;
    fill.host_page = 0x7000000000;
    fill.may_write = true;
    fill.is_global = is_global;
    fill.is_large = is_large;
    tlbs_.fill(fill, privilege);
  }
  [[nodiscard]] bool supervisor_has(GuestVirtualPage page) const {
    return tlbs_.holds(page, false, Privilege::Supervisor);
  }
  [[nodiscard]] bool user_has(GuestVirtualPage page) const {
    return tlbs_.holds(page, false, Privilege::User);
  }

  std::unique_ptr<Frame> frame_;
  SoftTlbs tlbs_;
};

TEST_F(SoftTlbsTest, AReadOnlyPageIsNotHeldForWriting) {
  SoftTlbs::Fill fill;
  fill.page = kPage;
  tlbs_.fill(fill, Privilege::User);
  EXPECT_TRUE(tlbs_.holds(kPage, false, Privilege::User));
  EXPECT_FALSE(tlbs_.holds(kPage, true, Privilege::User));
  EXPECT_FALSE(tlbs_.holds(kPage, false, Privilege::Supervisor));
}

TEST_F(SoftTlbsTest, EachFlushTakesThePageThatIsWatchedInPart) {
  const std::function<void()> flushes[] = {[this] { tlbs_.flush(); },
                                           [this] { tlbs_.flush_all_but_global(); },
                                           [this] { tlbs_.flush_page(kOtherPage); }};
  SoftTlbs::Fill fill;
  fill.page = kPage;
  for (const std::function<void()>& flush : flushes) {
    tlbs_.fill_around(fill, kPage.address() + 4, kPage.address() + 7, Privilege::Supervisor);
    EXPECT_TRUE(tlbs_.holds_around(kPage, false, Privilege::Supervisor));
    EXPECT_FALSE(tlbs_.holds_around(kPage, true, Privilege::Supervisor));
    EXPECT_FALSE(tlbs_.holds_around(kPage, false, Privilege::User));
    EXPECT_FALSE(supervisor_has(kPage));
    flush();
    EXPECT_FALSE(tlbs_.holds_around(kPage, false, Privilege::Supervisor));
  }
}

TEST_F(SoftTlbsTest, ACr3LoadSparesWhatIsGlobal) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kOtherPage, Privilege::Supervisor, false);
  fill(kFarPage, Privilege::User, true);
  tlbs_.flush_all_but_global();
  EXPECT_TRUE(supervisor_has(kPage));
  EXPECT_FALSE(supervisor_has(kOtherPage));
  EXPECT_FALSE(user_has(kFarPage));
}

TEST_F(SoftTlbsTest, ASlotIsAsGlobalAsItsLastFill) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kPage, Privilege::Supervisor, false);
  tlbs_.flush_all_but_global();
  EXPECT_FALSE(supervisor_has(kPage));
  fill(kPage, Privilege::Supervisor, false);
  fill(kPage, Privilege::Supervisor, true);
  tlbs_.flush_all_but_global();
  EXPECT_TRUE(supervisor_has(kPage));
}

TEST_F(SoftTlbsTest, AFlushTakesEverything) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kFarPage, Privilege::User, false);
  tlbs_.flush();
  EXPECT_FALSE(supervisor_has(kPage));
  EXPECT_FALSE(user_has(kFarPage));
}

TEST_F(SoftTlbsTest, InvalidatingAPageTakesItAlone) {
  fill(kPage, Privilege::Supervisor, true);
  fill(kPage, Privilege::User, true);
  fill(kOtherPage, Privilege::Supervisor, false);
  tlbs_.flush_page(kPage);
  EXPECT_FALSE(supervisor_has(kPage));
  EXPECT_FALSE(user_has(kPage));
  EXPECT_TRUE(supervisor_has(kOtherPage));
}

TEST_F(SoftTlbsTest, InvalidatingAnyPartOfALargePageTakesAllOfIt) {
  fill(kPage, Privilege::Supervisor, true, true);
  tlbs_.flush_page(kPage + 1);
  EXPECT_FALSE(supervisor_has(kPage));
}

}  // namespace
}  // namespace ringshift

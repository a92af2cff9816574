// AddressSpaces: the mappings that each flush of the guest removes from its views, and those that
// it leaves.
#include "monitor/spaces/address_spaces.h"

#include <gtest/gtest.h>

#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;

class AddressSpacesTest : public ::testing::Test {
 protected:
  [[nodiscard]] AddressSpaces& spaces() { return paged_.spaces(); }
  [[nodiscard]] const ShadowMapping* held(uint32_t linear) {
    return spaces().supervisor().window->find(GuestVirtualPage::of(GuestVirtual(linear)));
  }
  void touch(uint32_t linear, bool is_write = false) {
    ASSERT_EQ(paged_.data().fill_window(GuestVirtual(linear), is_write, Privilege::Supervisor),
              Miss::Filled);
  }
  [[nodiscard]] bool fetch(uint32_t eip, Privilege privilege) {
    return paged_.processor().code().key_for(Eip(eip), privilege).has_value();
  }
  PagedMachine paged_;
};

TEST_F(AddressSpacesTest, ACr3LoadKeepsWhatTheTablesStillSay) {
  touch(Paged::kKernel + 0x7000);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr) << "A is not set in this directory yet";
  touch(Paged::kKernel + 0x7000);
  paged_.load_cr3(Paged::kDirectory);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr);
  spaces().verify_invariants();
}

TEST_F(AddressSpacesTest, ACr3LoadDropsWhatTheySayNoMore) {
  touch(Paged::kKernel + 0x7000);
  touch(Paged::kKernel + 0x8000);
  paged_.map(Paged::kKernelTable, 7, 9, Paged::kSupervisorPage | Paged::kAccessed);
  EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr) << "as stale as a TLB may be";
  paged_.load_cr3(Paged::kDirectory);
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
  EXPECT_NE(held(Paged::kKernel + 0x8000), nullptr);
}

TEST_F(AddressSpacesTest, GlobalPagesOutliveACr3Load) {
  paged_.state().cr4 |= kCr4Pge;
  paged_.processor().note_state_changed();
  paged_.map(Paged::kKernelTable, 7, 7, Paged::kSupervisorPage | Paged::kGlobal);
  touch(Paged::kKernel + 0x7000);
  paged_.map(Paged::kKernelTable, 7, 9, Paged::kSupervisorPage | Paged::kGlobal);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_EQ(held(Paged::kKernel + 0x7000)->physical_page, GuestPhysicalPage(7));
  paged_.invalidate(Paged::kKernel + 0x7000);  // INVLPG takes a global page too
  const ShadowMapping* now = held(Paged::kKernel + 0x7000);
  EXPECT_TRUE(now == nullptr || now->physical_page == GuestPhysicalPage(9));
}

TEST_F(AddressSpacesTest, InvlpgReplacesThePageInUse) {
  touch(Paged::kKernel + 0x7000, true);
  const uint32_t used = Paged::kSupervisorPage | Paged::kAccessed | Paged::kDirty;
  paged_.map(Paged::kKernelTable, 7, 9, used);
  paged_.invalidate(Paged::kKernel + 0x7000);
  ASSERT_NE(held(Paged::kKernel + 0x7000), nullptr);
  EXPECT_EQ(held(Paged::kKernel + 0x7000)->physical_page, GuestPhysicalPage(9));
  spaces().verify_invariants();
}

TEST_F(AddressSpacesTest, InvlpgDropsAPageThatIsGone) {
  touch(Paged::kKernel + 0x7000);
  paged_.map(Paged::kKernelTable, 7, 7, 0);
  paged_.invalidate(Paged::kKernel + 0x7000);
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
}

TEST_F(AddressSpacesTest, AnotherPagingModeTakesEverything) {
  touch(Paged::kKernel + 0x7000);
  paged_.state().cr0 ^= kCr0Pg;
  paged_.processor().note_state_changed();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
  EXPECT_TRUE(spaces().has_pending_work()) << "links were made for the old mapping";
  spaces().apply(Paged::safe());
  EXPECT_FALSE(spaces().has_pending_work());
}

// The contents of a window do not depend on WP.
TEST_F(AddressSpacesTest, TogglingWpKeepsWindows) {
  touch(Paged::kKernel + 0x7000);
  for (int i = 0; i < 2; ++i) {
    paged_.state().cr0 ^= kCr0Wp;
    paged_.processor().note_state_changed();
    EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr);
    EXPECT_FALSE(spaces().has_pending_work());
  }
}

TEST_F(AddressSpacesTest, TogglingPgeKeepsWhatIsStillTrue) {
  touch(Paged::kKernel + 0x7000);
  paged_.state().cr4 |= kCr4Pge;
  paged_.processor().note_state_changed();
  EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr);
}

TEST_F(AddressSpacesTest, TogglingPseKeepsWhatIsStillTrue) {
  touch(Paged::kKernel + 0x7000);
  for (int i = 0; i < 2; ++i) {
    paged_.state().cr4 ^= kCr4Pse;
    paged_.processor().note_state_changed();
    EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr);
  }
  paged_.map(Paged::kKernelTable, 7, 9, Paged::kSupervisorPage | Paged::kAccessed);
  paged_.state().cr4 ^= kCr4Pse;
  paged_.processor().note_state_changed();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
}

// The first times it is a change of mode like any other.
TEST_F(AddressSpacesTest, PagingThatIsOftenSwitchedOffHasTwoViews) {
  const auto switch_paging = [this] {
    paged_.state().cr0 ^= kCr0Pg;
    paged_.processor().note_state_changed();
    spaces().apply(Paged::safe());
  };
  for (int i = 0; i < 10; ++i) {
    touch(Paged::kKernel + 0x7000);
    switch_paging();
    EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
    touch(0x5000);
    switch_paging();
  }
  ASSERT_NE(held(Paged::kKernel + 0x7000), nullptr);
  switch_paging();
  ASSERT_NE(held(0x5000), nullptr);
  EXPECT_EQ(held(0x5000)->physical_page, GuestPhysicalPage(5));
  paged_.map(Paged::kKernelTable, 7, 9, Paged::kSupervisorPage | Paged::kAccessed);
  switch_paging();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr) << "its entry says something else now";
  spaces().verify_invariants();
  spaces().on_memory_map_changed();
  switch_paging();
  EXPECT_EQ(held(0x5000), nullptr);
  spaces().verify_invariants();
}

TEST_F(AddressSpacesTest, AViewIsEnteredByANamedVerbOnly) {
  paged_.enter_user();
  EXPECT_EQ(spaces().user_view(), nullptr);
  CodeView& view = spaces().enter(Privilege::User);
  EXPECT_EQ(spaces().user_view(), &view);
  EXPECT_FALSE(paged_.data().has_window(Privilege::User));
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_EQ(spaces().user_view(), nullptr);
  EXPECT_NE(&spaces().enter(Privilege::User), &view);
  paged_.load_cr3(Paged::kDirectory);
  EXPECT_EQ(&spaces().enter(Privilege::User), &view) << "CR3 selects a view, it does not empty it";
}

TEST_F(AddressSpacesTest, AUserViewIsVerifiedWhenItIsEnteredAgain) {
  paged_.enter_user();
  for (uint32_t page = 16; page < 24; ++page) {
    ASSERT_TRUE(fetch(Paged::kUser + page * kPageSize, Privilege::User));
  }
  paged_.map(Paged::kUserTable, 16, 30, Paged::kUserPage | Paged::kAccessed);
  paged_.load_cr3(Paged::kDirectory);
  const auto& pages = spaces().enter(Privilege::User).pages;
  EXPECT_FALSE(pages.contains(GuestVirtualPage::of(GuestVirtual(Paged::kUser + 16 * kPageSize))));
  EXPECT_TRUE(pages.contains(GuestVirtualPage::of(GuestVirtual(Paged::kUser + 17 * kPageSize))));
}

TEST_F(AddressSpacesTest, AViewThatLostMostOfItsCodeStartsAfresh) {
  paged_.enter_user();
  for (uint32_t page = 16; page < 24; ++page) {
    ASSERT_TRUE(fetch(Paged::kUser + page * kPageSize, Privilege::User));
  }
  (void)spaces().note_user_work(1U << 20);
  ASSERT_TRUE(paged_.data().has_window(Privilege::User));
  for (uint32_t page = 16; page < 24; ++page) {
    paged_.map(Paged::kUserTable, page, page + 100, Paged::kUserPage | Paged::kAccessed);
  }
  paged_.load_cr3(Paged::kDirectory);
  EXPECT_EQ(spaces().enter(Privilege::User).window, nullptr);
}

TEST_F(AddressSpacesTest, SupervisorCodeOfAPageThatMovedIsDropped) {
  paged_.put_code(16, {0xf4});
  (void)paged_.translate(Paged::kKernel + 16 * kPageSize, Privilege::Supervisor);
  EXPECT_TRUE(paged_.watch().watches(GuestPhysicalPage(16)));
  paged_.map(Paged::kKernelTable, 16, 30, Paged::kSupervisorPage | Paged::kAccessed);
  paged_.load_cr3(Paged::kDirectory);
  EXPECT_TRUE(spaces().has_pending_work());
  spaces().apply(Paged::safe());
  EXPECT_EQ(paged_.processor().translator().cache().size(), 0U);
  spaces().verify_invariants();
}

TEST_F(AddressSpacesTest, TheFirstWorkOfAUserIsSoftAndThenEarnsAWindow) {
  paged_.enter_user();
  EXPECT_FALSE(spaces().note_user_work(1));
  EXPECT_FALSE(paged_.data().has_window(Privilege::User));
  EXPECT_TRUE(spaces().note_user_work(1U << 20));
  EXPECT_TRUE(paged_.data().has_window(Privilege::User));
  EXPECT_FALSE(spaces().note_user_work(1U << 20)) << "it has one";
}

TEST_F(AddressSpacesTest, AHostThatRefusesAWindowLeavesTheViewSoft) {
  paged_.processor().resources().refusals.refuse_every(1);
  paged_.enter_user();
  EXPECT_FALSE(spaces().note_user_work(1U << 20));
  EXPECT_FALSE(paged_.data().has_window(Privilege::User));
  spaces().select(Privilege::User);
  EXPECT_EQ(paged_.processor().gate().frame().slots.window_base, 0U);
}

TEST_F(AddressSpacesTest, ManyTablesLostAtOnceDeferTheNextVerifications) {
  for (uint32_t page = 0; page < 200; ++page) touch(Paged::kKernel + page * kPageSize);
  paged_.machine.set32(Paged::kOtherDirectory + (Paged::kKernel >> 22) * 4, 0);
  paged_.load_cr3(Paged::kOtherDirectory);  // a kernel's other tables: all of it is gone
  EXPECT_EQ(held(Paged::kKernel), nullptr);
  paged_.load_cr3(Paged::kDirectory);
  touch(Paged::kKernel);
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_TRUE(spaces().supervisor_needs_verification());
  spaces().verify_supervisor();
  EXPECT_FALSE(spaces().supervisor_needs_verification());
  EXPECT_EQ(held(Paged::kKernel), nullptr);
}

}  // namespace
}  // namespace ringshift

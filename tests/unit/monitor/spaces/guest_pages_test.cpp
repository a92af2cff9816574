// GuestPages: the one miss. The pages that an access has to have mapped, and the accesses that are
// refused.
#include "monitor/spaces/guest_pages.h"

#include <gtest/gtest.h>

#include "shadowmmu/table_entry.h"
#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;

class GuestPagesTest : public ::testing::Test {
 protected:
  [[nodiscard]] const GuestPages& pages() { return paged_.processor().resources().pages; }
  [[nodiscard]] const ShadowSpace& window() { return *paged_.spaces().supervisor().window; }
  [[nodiscard]] std::optional<MissingPages> miss(uint32_t linear, AccessKind kind,
                                                 Privilege privilege = Privilege::Supervisor) {
    return pages().miss({GuestVirtual(linear), kind, privilege}, window());
  }
  PagedMachine paged_;
};

TEST_F(GuestPagesTest, AReadMapsReadOnlyUntilDIsSet) {
  const auto missing = miss(Paged::kKernel + 0x7123, AccessKind::Read);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->run.virtual_page, GuestVirtualPage::of(GuestVirtual(Paged::kKernel + 0x7000)));
  EXPECT_EQ(missing->run.physical_page, GuestPhysicalPage(7));
  EXPECT_EQ(missing->run.pages, 1U);
  EXPECT_FALSE(missing->run.may_write);  // M3
  pages().mark({GuestVirtual(Paged::kKernel + 0x7123)});
  EXPECT_EQ(paged_.entry(Paged::kKernelTable, 7) & (Paged::kAccessed | Paged::kDirty),
            Paged::kAccessed);
}

TEST_F(GuestPagesTest, AWriteSetsDAndMapsWritable) {
  const auto missing = miss(Paged::kKernel + 0x7123, AccessKind::Write);
  ASSERT_TRUE(missing);
  EXPECT_TRUE(missing->run.may_write);
  pages().mark({GuestVirtual(Paged::kKernel + 0x7123), AccessKind::Write});
  EXPECT_NE(paged_.entry(Paged::kKernelTable, 7) & Paged::kDirty, 0U);
}

// The outcome is not known yet: the interpreter may do the access, by its own TLB.
TEST_F(GuestPagesTest, AMissByItselfSetsNoBits) {
  for (const AccessKind kind : {AccessKind::Read, AccessKind::Write, AccessKind::Fetch}) {
    ASSERT_TRUE(miss(Paged::kKernel + 0x7123, kind));
  }
  EXPECT_EQ(paged_.entry(Paged::kKernelTable, 7) & (Paged::kAccessed | Paged::kDirty), 0U);
}

TEST_F(GuestPagesTest, WhatFaultsIsTheInterpretersAndSetsNothing) {
  paged_.map(Paged::kKernelTable, 8, 8, 0);
  EXPECT_FALSE(miss(Paged::kKernel + 0x8000, AccessKind::Read));
  EXPECT_FALSE(miss(Paged::kKernel + 0x9000, AccessKind::Read, Privilege::User));
  EXPECT_EQ(paged_.entry(Paged::kKernelTable, 9) & Paged::kAccessed, 0U);
}

TEST_F(GuestPagesTest, PagesThatAreNoRamAreTheInterpreters) {
  paged_.map(Paged::kKernelTable, 8, Paged::kPages, Paged::kSupervisorPage);  // behind the end
  EXPECT_FALSE(miss(Paged::kKernel + 0x8000, AccessKind::Read));
}

TEST_F(GuestPagesTest, AWriteToATracedPageIsTheInterpretersAReadIsNot) {
  paged_.watch().trace(GuestPhysicalPage(7), TraceReason::TranslatedCode);
  EXPECT_FALSE(miss(Paged::kKernel + 0x7000, AccessKind::Write));
  EXPECT_TRUE(miss(Paged::kKernel + 0x7000, AccessKind::Read));
}

TEST_F(GuestPagesTest, LookSetsNoBits) {
  EXPECT_TRUE(
      pages().look({GuestVirtual(Paged::kKernel), AccessKind::Read, Privilege::Supervisor}));
  EXPECT_EQ(paged_.entry(Paged::kKernelTable, 0) & Paged::kAccessed, 0U);
}

class LargePages : public GuestPagesTest {
 protected:
  LargePages() {
    paged_.machine.set32(Paged::kDirectory + (Paged::kKernel >> 22) * 4,
                         static_cast<uint32_t>(kEntryLarge) | Paged::kSupervisorPage);
    paged_.state().cr4 |= kCr4Pse;
    paged_.processor().note_state_changed();
  }
};

TEST_F(LargePages, AreMappedInOnePiece) {
  const auto missing = miss(Paged::kKernel + 0x7123, AccessKind::Write);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->run.virtual_page, GuestVirtualPage::of(GuestVirtual(Paged::kKernel)));
  EXPECT_EQ(missing->run.physical_page, GuestPhysicalPage(0));
  EXPECT_EQ(missing->run.pages, Paged::kPages);
  EXPECT_TRUE(missing->run.is_large);
}

TEST_F(LargePages, OnePageOfThemThatNeedsMoreRightsComesAlone) {
  ASSERT_EQ(paged_.data().fill_window(GuestVirtual(Paged::kKernel), false, Privilege::Supervisor),
            Miss::Filled);
  const auto missing = miss(Paged::kKernel + 0x7123, AccessKind::Write);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->run.pages, 1U);
  EXPECT_EQ(missing->run.physical_page, GuestPhysicalPage(7));
}

TEST_F(LargePages, EndWhereRamDoes) {
  paged_.machine.set32(Paged::kDirectory + (Paged::kKernel >> 22) * 4,
                       0x00400000U | static_cast<uint32_t>(kEntryLarge) | Paged::kSupervisorPage);
  paged_.processor().note_state_changed();
  EXPECT_FALSE(miss(Paged::kKernel, AccessKind::Read));
}

TEST_F(LargePages, WithTheA20GateShutComePageByPage) {
  paged_.machine.physical.set_a20(false);
  paged_.processor().note_memory_map_changed();
  const auto missing = miss(Paged::kKernel + 0x101000, AccessKind::Read);
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->run.pages, 1U);
  EXPECT_EQ(missing->run.physical_page, GuestPhysicalPage(1));
}

TEST(GuestPageRuns, NarrowToKeepsTheFrameOfThePage) {
  ShadowRun run;
  run.virtual_page = GuestVirtualPage(0x100);
  run.physical_page = GuestPhysicalPage(0x40);
  run.pages = 16;
  narrow_to(GuestVirtualPage(0x105), &run);
  EXPECT_EQ(run.virtual_page, GuestVirtualPage(0x105));
  EXPECT_EQ(run.physical_page, GuestPhysicalPage(0x45));
  EXPECT_EQ(run.pages, 1U);
}

}  // namespace
}  // namespace ringshift

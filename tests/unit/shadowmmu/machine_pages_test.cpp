// MachinePages: the pages that the base has, and those that change together.
#include "shadowmmu/machine_pages.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

// Four grains of four pages, the last one cut short; the base has the second and the fourth.
class MachinePagesTest : public ::testing::Test {
 protected:
  MachinePages pages_{{.descriptor = -1,
                       .offset = 3 * kPageSize,
                       .grain_pages = 4,
                       .present = {false, true, false, true}},
                      14 * kPageSize};
};

TEST_F(MachinePagesTest, TheBaseHasWhatIsPresentInIt) {
  for (uint32_t page = 0; page < 14; ++page) {
    const bool is_base = page / 4 == 1 || page / 4 == 3;
    EXPECT_EQ(pages_.backing(GuestPhysicalPage(page)), is_base ? Backing::Base : Backing::Own);
    EXPECT_EQ(pages_.is_in_base(GuestPhysicalPage(page)), is_base);
    if (!is_base) continue;
    EXPECT_EQ(pages_.offset_of(GuestPhysicalPage(page)), (3 + page) * kPageSize);
  }
}

TEST_F(MachinePagesTest, AGrainChangesAsAWhole) {
  pages_.set(GuestPhysicalPage(6), Backing::Own);
  for (uint32_t page = 4; page < 8; ++page) {
    EXPECT_EQ(pages_.backing(GuestPhysicalPage(page)), Backing::Own);
    EXPECT_TRUE(pages_.is_in_base(GuestPhysicalPage(page)));
  }
  const PageRange grain = pages_.grain_around(GuestPhysicalPage(6));
  EXPECT_EQ(grain.first, GuestPhysicalPage(4));
  EXPECT_EQ(grain.pages, 4U);
  EXPECT_EQ(pages_.grain_around(GuestPhysicalPage(13)).pages, 2U) << "cut short by RAM's end";
}

TEST_F(MachinePagesTest, ARunEndsWhereTheBackingChanges) {
  EXPECT_EQ(pages_.run(GuestPhysicalPage(0), 100), 4U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(5), 100), 3U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(5), 2), 2U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(12), 100), 2U);
  pages_.set(GuestPhysicalPage(4), Backing::Own);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(1), 100), 11U);
}

// Another base has what no base backs; what the first one backs stays its.
TEST_F(MachinePagesTest, TheNewestBaseHasWhatIsNotBacked) {
  pages_.set(GuestPhysicalPage(4), Backing::Own);
  pages_.add_base({.descriptor = -1,
                   .offset = kPageSize,
                   .grain_pages = 4,
                   .present = {true, true, false, true},
                   .seal = 7});
  EXPECT_EQ(pages_.backing(GuestPhysicalPage(0)), Backing::Own);
  EXPECT_TRUE(pages_.is_in_base(GuestPhysicalPage(0)));
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(0)), 7U);
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(4)), 7U);
  EXPECT_EQ(pages_.offset_of(GuestPhysicalPage(4)), 5 * kPageSize);
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(12)), 0U) << "the first one backs it";
  pages_.set(GuestPhysicalPage(0), Backing::Base);
  pages_.set(GuestPhysicalPage(4), Backing::Base);
  pages_.set(GuestPhysicalPage(8), Backing::Base);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(0), 100), 8U) << "a run has one base";
}

TEST_F(MachinePagesTest, WhatBacksNothingMakesRoom) {
  for (size_t i = 1; i < MachinePages::kMostBases; ++i) {
    ASSERT_TRUE(pages_.has_room_for_base());
    pages_.add_base({.descriptor = -1,
                     .offset = 0,
                     .grain_pages = 4,
                     .present = {i == 3, false, false, false},
                     .seal = i});
  }
  EXPECT_FALSE(pages_.has_room_for_base());
  pages_.set(GuestPhysicalPage(0), Backing::Base);
  pages_.drop_unused_bases();
  EXPECT_TRUE(pages_.has_room_for_base());
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(0)), 3U);
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(4)), 0U) << "a file of the user's stays";
}

TEST_F(MachinePagesTest, PagesThatChangeAloneAreRunsOfTheirOwn) {
  pages_.set(GuestPhysicalPage(4), Backing::Own);
  EXPECT_EQ(pages_.inner_ends(), 0U);
  pages_.set_alone(GuestPhysicalPage(5), Backing::Base);
  pages_.set_elsewhere(GuestPhysicalPage(7), {.base = 0, .page = 13});
  EXPECT_TRUE(pages_.is_mixed(GuestPhysicalPage(4)));
  EXPECT_FALSE(pages_.is_mixed(GuestPhysicalPage(8)));
  EXPECT_EQ(pages_.inner_ends(), 3U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(0), 100), 5U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(5), 100), 1U);
  EXPECT_EQ(pages_.run(GuestPhysicalPage(7), 100), 1U);
  EXPECT_EQ(pages_.offset_of(GuestPhysicalPage(5)), (3 + 5) * kPageSize);
  EXPECT_EQ(pages_.offset_of(GuestPhysicalPage(7)), (3 + 13) * kPageSize);
  pages_.verify_invariants();
  pages_.set(GuestPhysicalPage(6), Backing::Own);
  EXPECT_EQ(pages_.inner_ends(), 0U);
  EXPECT_FALSE(pages_.is_mixed(GuestPhysicalPage(6)));
  pages_.verify_invariants();
}

// A base stays while one page is taken from it.
TEST_F(MachinePagesTest, APageFromElsewhereKeepsItsBase) {
  pages_.add_base({.descriptor = -1,
                   .offset = 0,
                   .grain_pages = 4,
                   .present = {false, false, true, false},
                   .seal = 9});
  pages_.set_elsewhere(GuestPhysicalPage(1), {.base = 1, .page = 8});
  pages_.drop_unused_bases();
  EXPECT_EQ(pages_.seal_of(GuestPhysicalPage(1)), 9U);
  pages_.set_alone(GuestPhysicalPage(1), Backing::Own);
  const uint32_t version = pages_.bases_version();
  pages_.drop_unused_bases();
  EXPECT_FALSE(pages_.is_in_base(GuestPhysicalPage(8)));
  EXPECT_NE(pages_.bases_version(), version);
}

}  // namespace
}  // namespace ringshift

// GuestTables: addresses come out behind the A20 gate; an equal hash means that nothing behind a
// region has changed; which regions serve user code.
#include "shadowmmu/guest_tables.h"

#include <gtest/gtest.h>

#include "shadowmmu/table_entry.h"
#include "tests/support/table_memory.h"

namespace ringshift {
namespace {

constexpr uint32_t kDirectory = 0x1000, kTable = 0x2000, kOtherTable = 0x3000;
constexpr Region kRegion(0x40);  // linear 0x10000000
constexpr GuestVirtual kAddress(0x10003456);
constexpr uint64_t kAll = kEntryPresent | kEntryWritable | kEntryUser;

// Memory whose A20 gate is shut: bit 20 of what is reached is clear.
class GatedMemory final : public PageTableMemory {
 public:
  explicit GatedMemory(TableMemory& memory) : memory_(memory) {}
  [[nodiscard]] uint32_t read_entry32(GuestPhysical at) override {
    return memory_.read_entry32(masked(at));
  }
  [[nodiscard]] uint64_t read_entry64(GuestPhysical at) override {
    return memory_.read_entry64(masked(at));
  }
  void set_entry_bits(GuestPhysical at, uint32_t bits) override {
    memory_.set_entry_bits(masked(at), bits);
  }
  [[nodiscard]] GuestPhysical masked(GuestPhysical at) const override {
    return GuestPhysical(at.value() & ~(uint64_t{1} << 20));
  }
  [[nodiscard]] const uint8_t* table_bytes(GuestPhysical at) const override {
    return memory_.table_bytes(masked(at));
  }

 private:
  TableMemory& memory_;
};

PagingMode two_level() {
  PagingMode mode;
  mode.paging = true;
  mode.pse = true;
  mode.cr3 = kDirectory;
  return mode;
}

class GuestTablesTest : public ::testing::Test {
 protected:
  GuestTablesTest() {
    memory_.store32(kDirectory + kRegion.index() * 4, kTable | kAll);
    memory_.store32(kTable + 3 * 4, 0x00345000 | kAll);
    tables_.set_mode(two_level());
  }
  TableMemory memory_;
  GuestTables tables_{memory_};
};

TEST_F(GuestTablesTest, ProbeTouchesNothingAndWalkSetsAccessed) {
  const WalkResult seen = tables_.probe(kAddress, AccessKind::Read, Privilege::User);
  ASSERT_FALSE(seen.fault);
  EXPECT_EQ(seen.translation.physical, GuestPhysical(0x00345456));
  EXPECT_FALSE(GuestTables::is_accessed(seen.translation));
  EXPECT_EQ(memory_.updates(), 0U);
  const WalkResult used = tables_.walk(kAddress, AccessKind::Read, Privilege::User);
  EXPECT_TRUE(GuestTables::is_accessed(used.translation));
  EXPECT_GT(memory_.updates(), 0U);
}

TEST_F(GuestTablesTest, AddressesComeOutBehindTheA20Gate) {
  memory_.store32(kTable + 3 * 4, 0x00355000 | kAll);  // bit 20 is set
  GatedMemory gated(memory_);
  GuestTables tables(gated);
  tables.set_mode(two_level());
  EXPECT_EQ(tables.walk(kAddress, AccessKind::Read, Privilege::User).translation.physical,
            GuestPhysical(0x00255456));
  tables.set_mode(PagingMode{});  // no paging
  EXPECT_EQ(tables.probe(GuestVirtual(0x00100000), AccessKind::Read, Privilege::User)
                .translation.physical,
            GuestPhysical(0));
}

TEST_F(GuestTablesTest, TheHashFollowsEveryEntryBehindTheRegion) {
  const uint64_t before = tables_.hash(kRegion);
  EXPECT_NE(before, 0U);
  EXPECT_EQ(tables_.hash(kRegion), before);
  memory_.store32(kTable + 1023 * 4, 0x00001000 | kAll);
  const uint64_t other_page = tables_.hash(kRegion);
  EXPECT_NE(other_page, before);
  memory_.store32(kTable + 1023 * 4, 0);
  EXPECT_EQ(tables_.hash(kRegion), before);
  memory_.store32(kDirectory + kRegion.index() * 4, kOtherTable | kAll);
  EXPECT_NE(tables_.hash(kRegion), before);
}

TEST_F(GuestTablesTest, TheHashOfALargePageIsThatOfItsEntry) {
  memory_.store32(kDirectory + kRegion.index() * 4, 0x00800000 | kAll | kEntryLarge);
  const uint64_t large = tables_.hash(kRegion);
  EXPECT_NE(large, 0U);
  memory_.store32(kTable, 1);  // behind the entry no longer
  EXPECT_EQ(tables_.hash(kRegion), large);
  memory_.store32(kDirectory + kRegion.index() * 4, 0x00c00000 | kAll | kEntryLarge);
  EXPECT_NE(tables_.hash(kRegion), large);
}

TEST_F(GuestTablesTest, WithoutPagingOrWithATableOutsideRamThereIsNoTelling) {
  memory_.store32(kDirectory + kRegion.index() * 4, 0x7ffff000 | kAll);
  EXPECT_EQ(tables_.hash(kRegion), 0U);
  tables_.set_mode(PagingMode{});
  EXPECT_EQ(tables_.hash(kRegion), 0U);
}

TEST_F(GuestTablesTest, UserPagesAreBehindEntriesThatLetUsersThrough) {
  EXPECT_TRUE(tables_.has_user_pages(kRegion));
  EXPECT_FALSE(tables_.has_user_pages(Region(kRegion.index() + 1)));
  memory_.store32(kDirectory + kRegion.index() * 4, kTable | (kAll & ~kEntryUser));
  EXPECT_FALSE(tables_.has_user_pages(kRegion));
}

TEST_F(GuestTablesTest, UnderPaeARegionIsTwoEntries) {
  PagingMode mode;
  mode.paging = mode.pae = true;
  mode.pdpte[0] = kDirectory | kEntryPresent;
  tables_.set_mode(mode);
  memory_.store64(kDirectory + kRegion.index() * 16, 0);
  memory_.store64(kDirectory + kRegion.index() * 16 + 8, kTable | kAll);
  EXPECT_TRUE(tables_.has_user_pages(kRegion));
  const uint64_t before = tables_.hash(kRegion);
  memory_.store64(kTable + 8, 0x5000 | kAll);
  EXPECT_NE(tables_.hash(kRegion), before);
  EXPECT_FALSE(
      tables_.has_user_pages(Region(kRegion.index() + 256)));  // a pointer that is not present
  EXPECT_NE(tables_.hash(Region(kRegion.index() + 256)), 0U);
}

// A trace of kTable, begun as a verification does.
class TracedTablesTest : public GuestTablesTest {
 protected:
  TracedTablesTest() {
    traces_.set_policy(ShadowPolicy::Trace, 8);
    traces_.set_is_linked([this](const TableLink& link) { return tables_.is_linked(link); });
    tables_.attach(traces_);
  }
  void trace(Region region) {
    const GuestTables::Tables behind = tables_.tables_behind(region);
    ASSERT_EQ(behind.count, 1U);
    const GuestPhysicalPage table = behind.links[0].table;
    ASSERT_TRUE(traces_.note_compared(behind.links[0], TableTraces::Finding::New, 1));
    bits_.add(table, TraceReason::PageTable);
    traces_.begin(table, tables_.content(table));
  }
  TraceTable bits_{1U << 20};
  TableTraces traces_{bits_};
};

TEST_F(TracedTablesTest, AStampIsToBeHadOfTracedTables) {
  EXPECT_EQ(tables_.stamp(kRegion), 0U);
  const uint64_t hash = tables_.hash(kRegion);
  trace(kRegion);
  EXPECT_EQ(tables_.hash(kRegion), hash) << "a trace that begins changes nothing";
  EXPECT_EQ(tables_.stamp(kRegion), hash);
  traces_.note_write(GuestPhysicalPage(kTable / kPageSize));
  EXPECT_NE(tables_.stamp(kRegion), hash);
  EXPECT_NE(tables_.stamp(kRegion), 0U);
}

TEST_F(TracedTablesTest, WhatTheWalkerSetsIsNoChange) {
  trace(kRegion);
  (void)tables_.walk(kAddress, AccessKind::Read, Privilege::User);
  const uint64_t stamp = tables_.stamp(kRegion);  // A is set in the directory, which is looked at
  (void)tables_.walk(kAddress, AccessKind::Write, Privilege::User);
  EXPECT_EQ(tables_.stamp(kRegion), stamp);
}

TEST_F(TracedTablesTest, TheEntryThatLeadsToATableIsPartOfTheStamp) {
  trace(kRegion);
  const uint64_t stamp = tables_.stamp(kRegion);
  memory_.store32(kDirectory + kRegion.index() * 4, kTable | (kAll & ~kEntryUser));
  EXPECT_NE(tables_.stamp(kRegion), stamp);
  memory_.store32(kDirectory + kRegion.index() * 4, kTable | kAll);
  EXPECT_EQ(tables_.stamp(kRegion), stamp);
  memory_.store32(kDirectory + kRegion.index() * 4, kOtherTable | kAll);
  EXPECT_EQ(tables_.stamp(kRegion), 0U) << "that one is not traced";
  EXPECT_TRUE(traces_.gives_way(GuestPhysicalPage(kTable / kPageSize))) << "nothing leads there";
}

TEST_F(TracedTablesTest, ATranslationInUseHasTheStampOfItsRegion) {
  trace(kRegion);
  const WalkResult used = tables_.walk(kAddress, AccessKind::Read, Privilege::User);
  const GuestVirtualPage page = GuestVirtualPage::of(kAddress);
  EXPECT_EQ(tables_.stamp(page, used.translation), tables_.stamp(kRegion));
  memory_.store32(kDirectory + kRegion.index() * 4, 0x00400000 | kAll | kEntryLarge);
  const WalkResult large = tables_.walk(kAddress, AccessKind::Write, Privilege::User);
  EXPECT_EQ(tables_.stamp(page, large.translation), tables_.stamp(kRegion));
}

TEST_F(TracedTablesTest, LargePagesNeedNoTrace) {
  memory_.store32(kDirectory + kRegion.index() * 4, 0x00400000 | kAll | kEntryLarge);
  EXPECT_NE(tables_.stamp(kRegion), 0U);
  EXPECT_EQ(tables_.tables_behind(kRegion).count, 0U);
}

}  // namespace
}  // namespace ringshift

// TableTraces: the tables that are worth a trace under each policy, the meaning of a version, and
// the end of a trace.
#include "shadowmmu/table_traces.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 16U << 20;
constexpr GuestPhysicalPage kTable(0x123);
constexpr GuestPhysicalPage kOther(0x123 + TableTraces::kMostTables);  // of the same place
using Finding = TableTraces::Finding;

class TableTracesTest : public ::testing::Test {
 protected:
  TableTracesTest() {
    traces_.set_is_linked([this](const TableLink& link) { return linked_.contains(link.table); });
    linked_ = {kTable, kOther};
  }
  [[nodiscard]] bool compare(GuestPhysicalPage table, Finding finding) {
    return traces_.note_compared({table, GuestPhysical(0x1000), false}, finding, ++epoch_);
  }
  void begin(GuestPhysicalPage table) {
    bits_.add(table, TraceReason::PageTable);
    traces_.begin(table, 77);
  }
  [[nodiscard]] bool is_traced(GuestPhysicalPage table) const {
    return bits_.is_traced_for(table, TraceReason::PageTable);
  }
  [[nodiscard]] uint32_t comparisons_until_traced(GuestPhysicalPage table) {
    uint32_t comparisons = 1;
    while (!compare(table, Finding::Same)) ++comparisons;
    begin(table);
    return comparisons;
  }

  TraceTable bits_{kRamBytes};
  TableTraces traces_{bits_};
  std::set<GuestPhysicalPage> linked_;
  uint64_t epoch_ = 0;
};

TEST_F(TableTracesTest, ATlbTracesNothing) {
  traces_.set_policy(ShadowPolicy::Tlb, 8);
  for (int i = 0; i < 10000; ++i) EXPECT_FALSE(compare(kTable, Finding::Same));
}

TEST_F(TableTracesTest, TheTextbookTracesWhatHasBeenVerified) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  EXPECT_TRUE(compare(kTable, Finding::New));
}

TEST_F(TableTracesTest, AVersionLastsUntilAWrite) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  ASSERT_TRUE(compare(kTable, Finding::New));
  EXPECT_EQ(traces_.ask(kTable), 0U);
  begin(kTable);
  EXPECT_EQ(traces_.ask(kTable), 77U) << "what was in it when the trace began";
  EXPECT_EQ(traces_.ask(kTable), 77U);
  std::set<uint64_t> seen{0, 77};
  for (int i = 0; i < 1000; ++i) {
    i % 2 == 0 ? traces_.note_write(kTable) : traces_.note_mark(kTable);
    EXPECT_TRUE(seen.insert(traces_.ask(kTable)).second);
  }
  traces_.note_write(kOther);  // is not traced
  EXPECT_FALSE(seen.insert(traces_.ask(kTable)).second);
}

TEST_F(TableTracesTest, AutoTracesWhatStaysAsItIs) {
  traces_.set_policy(ShadowPolicy::Auto, 8);
  EXPECT_EQ(comparisons_until_traced(kTable), TableTraces::kFirstThreshold);
}

TEST_F(TableTracesTest, AutoBeginsAnewWhereSomethingHasChanged) {
  traces_.set_policy(ShadowPolicy::Auto, 8);
  for (uint32_t i = 1; i < TableTraces::kFirstThreshold; ++i) {
    ASSERT_FALSE(compare(kTable, Finding::Same));
  }
  EXPECT_FALSE(compare(kTable, Finding::Changed));
  EXPECT_EQ(comparisons_until_traced(kTable), TableTraces::kFirstThreshold);
}

TEST_F(TableTracesTest, AFlushCountsOnce) {
  traces_.set_policy(ShadowPolicy::Auto, 8);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(traces_.note_compared({kTable, GuestPhysical(0x1000), false}, Finding::Same, 5));
  }
}

TEST_F(TableTracesTest, AutoGivesWayToAWriteAndTriesAgainLater) {
  traces_.set_policy(ShadowPolicy::Auto, 8);
  uint32_t last = comparisons_until_traced(kTable);
  for (int i = 0; i < 20; ++i) {
    traces_.note_write(kTable);
    EXPECT_FALSE(is_traced(kTable));
    EXPECT_EQ(traces_.ask(kTable), 0U);
    const uint32_t now = comparisons_until_traced(kTable);
    EXPECT_EQ(now, std::min(2 * last, TableTraces::kLastThreshold));
    last = now;
  }
  for (uint32_t i = 0; i < 100 * TableTraces::kFirstThreshold; ++i) (void)traces_.ask(kTable);
  traces_.note_write(kTable);
  EXPECT_EQ(comparisons_until_traced(kTable), TableTraces::kFirstThreshold) << "it has paid";
}

TEST_F(TableTracesTest, AutoBearsMarksThatAreRare) {
  traces_.set_policy(ShadowPolicy::Auto, 8);
  (void)comparisons_until_traced(kTable);
  for (int i = 0; i < 1000; ++i) {
    for (int j = 0; j < 8; ++j) (void)traces_.ask(kTable);
    traces_.note_mark(kTable);
  }
  EXPECT_TRUE(is_traced(kTable));
  for (int i = 0; i < 20000; ++i) traces_.note_mark(kTable);
  EXPECT_FALSE(is_traced(kTable)) << "it changes between any two looks at it";
}

TEST_F(TableTracesTest, TheTextbookGivesWayOnlyWhereThereIsNoTableAnyMore) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  ASSERT_TRUE(compare(kTable, Finding::New));
  begin(kTable);
  EXPECT_FALSE(traces_.gives_way(kTable));
  traces_.note_write(kTable);
  EXPECT_TRUE(is_traced(kTable));
  linked_.clear();
  EXPECT_TRUE(traces_.gives_way(kTable));
  EXPECT_FALSE(is_traced(kTable));
  EXPECT_FALSE(traces_.gives_way(kTable));
}

TEST_F(TableTracesTest, APlaceGoesToAnotherTableWhenNobodyAsksForTheOld) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  ASSERT_TRUE(compare(kTable, Finding::New));
  begin(kTable);
  (void)traces_.ask(kTable);
  EXPECT_FALSE(compare(kOther, Finding::New)) << "the old one is in use";
  EXPECT_TRUE(compare(kOther, Finding::New));
  EXPECT_FALSE(is_traced(kTable));
  begin(kOther);
  EXPECT_EQ(traces_.traced(), 1U);
}

TEST_F(TableTracesTest, TheNumberOfTracesIsBounded) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  uint32_t begun = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    if (!compare(GuestPhysicalPage(i), Finding::New)) continue;
    begin(GuestPhysicalPage(i));
    ++begun;
  }
  EXPECT_EQ(begun, 8U);
  traces_.forget_all();
  EXPECT_EQ(traces_.traced(), 0U);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_FALSE(is_traced(GuestPhysicalPage(i)));
}

TEST_F(TableTracesTest, AWriteThatWasNotSeenIsFound) {
  traces_.set_policy(ShadowPolicy::Trace, 8);
  ASSERT_TRUE(compare(kTable, Finding::New));
  begin(kTable);
  std::vector<uint8_t> bytes(kPageSize);
  const auto verify = [&] {
    traces_.verify_invariants([&](GuestPhysicalPage) { return std::span<const uint8_t>(bytes); });
  };
  verify();
  bytes[8] = 0x60;  // A and D, as the walker sets them
  verify();
  bytes[9] = 1;
  traces_.note_write(kTable);
  verify();
  bytes[9] = 2;
  EXPECT_DEATH(verify(), "seen_content");
}

}  // namespace
}  // namespace ringshift

// CodeWatch: the writes that are noted, the fragments that they drop at the next safe point, and
// the end of a page's trace.
#include "monitor/spaces/code_watch.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 1U << 20;
constexpr GuestPhysicalPage kPage(5);
constexpr GuestPhysical at(uint32_t offset) { return kPage.address() + offset; }

// A processor with code in the first 64 bytes of some pages.
class Holder final : public CodeHolder {
 public:
  [[nodiscard]] bool has_code(GuestPhysicalPage page) const override { return code.contains(page); }
  [[nodiscard]] bool may_hold_code(GuestPhysical address, uint32_t) const override {
    return has_code(GuestPhysicalPage::of(address)) && address.offset_in_page() < 64;
  }
  void add_code_bytes(GuestPhysicalPage page, CodeBytes* bytes) const override {
    if (has_code(page)) bytes->add(0, 64);
  }
  void drop_code(GuestPhysical address, uint32_t length, const SafePoint&) override {
    dropped.emplace_back(address, length);
    if (address.offset_in_page() < 64) code.erase(GuestPhysicalPage::of(address));
  }
  void forget_write_paths(GuestPhysicalPage page) override { forgotten.push_back(page); }

  std::set<GuestPhysicalPage> code;
  std::vector<std::pair<GuestPhysical, uint32_t>> dropped;
  std::vector<GuestPhysicalPage> forgotten;
};

class CodeWatchTest : public ::testing::Test {
 protected:
  CodeWatchTest() {
    watch_.attach(&holder_);
    holder_.code.insert(kPage);
    watch_.ensure_code_trace(kPage.address(), 64);
  }
  void apply() { watch_.apply(SafePointForTest::get()); }
  Holder holder_;
  CodeWatch watch_{kRamBytes};
};

TEST_F(CodeWatchTest, TracingForgetsTheWritePathsOnce) {
  watch_.ensure_code_trace(kPage.address(), 64);
  watch_.trace(kPage, TraceReason::DirectCode);  // traced already: writes are seen
  EXPECT_EQ(holder_.forgotten, std::vector<GuestPhysicalPage>{kPage});
  EXPECT_TRUE(watch_.watches(kPage));
}

TEST_F(CodeWatchTest, TheWalkersBitsAreWritesToCodeAndNoneToATable) {
  constexpr GuestPhysicalPage kTable(6);
  watch_.tables().set_policy(ShadowPolicy::Trace, 4);
  watch_.tables().set_is_linked([](const TableLink&) { return true; });
  ASSERT_TRUE(watch_.tables().note_compared({kTable, GuestPhysical(0x1000)},
                                            TableTraces::Finding::Same, 1));
  watch_.trace_table(kTable, 7);
  constexpr uint32_t kEntryBits = 0;
  watch_.on_write(kTable.address() + 8, kEntryBits);
  EXPECT_FALSE(watch_.has_pending_work());
  EXPECT_EQ(watch_.tables().ask(kTable), 7U);
  watch_.on_write(at(8), kEntryBits);
  EXPECT_TRUE(watch_.has_pending_work());
  apply();
  EXPECT_EQ(holder_.dropped, (std::vector<std::pair<GuestPhysical, uint32_t>>{{at(8), 4}}));
}

TEST_F(CodeWatchTest, AWriteToCodeWaitsForASafePoint) {
  watch_.on_write(at(8), 4);
  EXPECT_TRUE(watch_.has_pending_work());
  EXPECT_TRUE(holder_.dropped.empty());
  apply();
  ASSERT_EQ(holder_.dropped.size(), 1U);
  EXPECT_EQ(holder_.dropped[0].first, at(8));
  EXPECT_FALSE(watch_.has_pending_work());
  EXPECT_FALSE(watch_.watches(kPage)) << "nothing of the page is held any more";
}

TEST_F(CodeWatchTest, WritesThatContinueEachOtherAreOne) {
  for (uint32_t i = 0; i < 16; ++i) watch_.on_write(at(i * 4), 4);
  apply();
  ASSERT_EQ(holder_.dropped.size(), 1U);
  EXPECT_EQ(holder_.dropped[0].second, 64U);
}

TEST_F(CodeWatchTest, DataBesideCodeIsNotNoted) {
  watch_.on_write(at(512), 4);
  EXPECT_FALSE(watch_.has_pending_work());
}

TEST_F(CodeWatchTest, DataBesideCodeThatRunsDirectlyIsNoted) {
  watch_.trace(kPage, TraceReason::DirectCode);
  watch_.on_write(at(512), 4);
  EXPECT_TRUE(watch_.has_pending_work());
  apply();
  EXPECT_TRUE(watch_.watches(kPage)) << "its translated code is still there";
  EXPECT_FALSE(watch_.traces().is_traced_for(kPage, TraceReason::DirectCode));
}

TEST_F(CodeWatchTest, AWriteToAPageWithoutCodeEndsItsTrace) {
  holder_.code.clear();
  watch_.on_write(at(512), 4);
  apply();
  EXPECT_FALSE(watch_.watches(kPage));
}

TEST_F(CodeWatchTest, WritesElsewhereAreNotNoted) {
  watch_.on_write(GuestPhysical(0x9000), 4);
  EXPECT_FALSE(watch_.has_pending_work());
}

TEST_F(CodeWatchTest, ManyWritesBeforeASafePointAreMergedToPages) {
  for (uint32_t i = 0; i < 100000; ++i) watch_.on_write(at((i * 7 % 8) * 8), 1);
  apply();
  EXPECT_LE(holder_.dropped.size(), 4096U);
  EXPECT_FALSE(holder_.dropped.empty());
}

// ---- stores beside code ----

TEST_F(CodeWatchTest, StoresMayGoBesideCodeOnly) {
  const CodeBytes* bytes = watch_.code_bytes(kPage);
  ASSERT_NE(bytes, nullptr);
  EXPECT_TRUE(bytes->has_any(0, 1));
  EXPECT_TRUE(bytes->has_any(63, 8));
  EXPECT_FALSE(bytes->has_any(64, kPageSize - 64));
  EXPECT_EQ(watch_.code_bytes(kPage), bytes);
  EXPECT_EQ(watch_.code_bytes(kPage + 1), nullptr) << "it has no code";
}

TEST_F(CodeWatchTest, NewCodeIsAddedBeforeItCanBeFound) {
  const CodeBytes* bytes = watch_.code_bytes(kPage);
  ASSERT_NE(bytes, nullptr);
  watch_.ensure_code_trace(at(200), 3);
  EXPECT_FALSE(bytes->has_any(192, 8));
  EXPECT_TRUE(bytes->has_any(200, 1));
  EXPECT_TRUE(bytes->has_any(202, 1));
  EXPECT_FALSE(bytes->has_any(203, 8));
}

TEST_F(CodeWatchTest, AnotherReasonToSeeWritesEndsThem) {
  ASSERT_NE(watch_.code_bytes(kPage), nullptr);
  holder_.forgotten.clear();
  watch_.trace(kPage, TraceReason::DirectCode);
  EXPECT_EQ(holder_.forgotten, std::vector<GuestPhysicalPage>{kPage});
  EXPECT_EQ(watch_.code_bytes(kPage), nullptr);
}

TEST_F(CodeWatchTest, APageTableEndsThem) {
  ASSERT_NE(watch_.code_bytes(kPage), nullptr);
  holder_.forgotten.clear();
  watch_.tables().set_policy(ShadowPolicy::Trace, 1);
  TableLink link;
  link.table = kPage;
  (void)watch_.tables().note_compared(link, TableTraces::Finding::Same, 1);
  watch_.trace_table(kPage, 0);
  EXPECT_EQ(holder_.forgotten, std::vector<GuestPhysicalPage>{kPage});
  EXPECT_EQ(watch_.code_bytes(kPage), nullptr);
}

TEST_F(CodeWatchTest, CodeThatIsDroppedFreesItsBytes) {
  const CodeBytes* bytes = watch_.code_bytes(kPage);
  ASSERT_NE(bytes, nullptr);
  watch_.ensure_code_trace(at(200), 3);
  watch_.on_write(at(200), 1);  // the holder has nothing there (any more)
  EXPECT_FALSE(bytes->has_any(200, 3));
  EXPECT_TRUE(bytes->has_any(0, 64));
  EXPECT_FALSE(watch_.has_pending_work());
}

TEST_F(CodeWatchTest, CodeIsAwaitedWhereItHasBeenOverwritten) {
  const CodeBytes* bytes = watch_.code_bytes(kPage);
  ASSERT_NE(bytes, nullptr);
  watch_.on_write(at(8), 4);
  apply();
  EXPECT_FALSE(bytes->has_any(0, kPageSize));
  EXPECT_TRUE(watch_.watches(kPage));
  watch_.on_write(at(8), 4);
  apply();
  EXPECT_FALSE(watch_.watches(kPage)) << "a second write has found no code";
}

TEST(CodeWatchAlone, TheLastPageToWantAPlaceHasIt) {
  constexpr uint64_t kPages = 2 * WrittenCode::kMost;
  CodeWatch watch(kPages * kPageSize);
  Holder holder;
  watch.attach(&holder);
  const GuestPhysicalPage other = kPage + WrittenCode::kMost;
  for (const GuestPhysicalPage page : {kPage, other}) {
    holder.code.insert(page);
    watch.ensure_code_trace(page.address(), 64);
  }
  ASSERT_NE(watch.code_bytes(kPage), nullptr);
  holder.forgotten.clear();
  ASSERT_NE(watch.code_bytes(other), nullptr);
  EXPECT_EQ(holder.forgotten, std::vector<GuestPhysicalPage>{kPage});
}

TEST(CodeWatchAlone, NeedsNoProcessor) {
  CodeWatch watch(kRamBytes);
  watch.ensure_code_trace(kPage.address(), 64);
  watch.on_write(at(0), 4);
  watch.apply(SafePointForTest::get());
  EXPECT_FALSE(watch.watches(kPage));
}

}  // namespace
}  // namespace ringshift
